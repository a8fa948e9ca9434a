"""`cxr ingest` on a cluster makes the very records of the local run, with a process of the engine killed in its middle too."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow
CXR = Path(sys.executable).with_name("cxr")
IMAGES, SIDE = 36, 1500  # pixels: large enough that reading takes seconds, in which a process can be killed
ENDS_WITHIN = 900  # seconds, on a busy machine


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder per class, with noise."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(3)
    for number in range(IMAGES):
        file = folder / ("covid19", "pneumonia", "normal")[number % 3] / f"{number}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (SIDE, SIDE), np.uint8)).save(file, compress_level=1)
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("ingest")


@pytest.fixture(scope="module")
def ingest(images, home):
    """Returns a function that ingests them: the files that this makes."""
    config = home / "data.yaml"
    config.write_text("name: data\ndata: {images_per_shard: 3}\nmodels: {mobilenet: {backbone: MobileNet}}\nensemble: null\n")

    def make(name, *options):
        command = [
            CXR,
            "ingest",
            images,
            home / name,
            "--config",
            config,
            "--key-file",
            home / "key",
            *(f"--beam={one}" for one in options),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=ENDS_WITHIN, env={**os.environ, "COLUMNS": "120"})
        assert done.returncode == 0, done.stdout + done.stderr
        return {str(path.relative_to(home / name)): path.read_bytes() for path in (home / name).rglob("*") if path.is_file()}

    (home / "key").write_text("ab" * 32)
    return make


@pytest.fixture(scope="module")
def local(ingest):
    return ingest("local")


def test_the_records_are_those_of_the_local_run(cluster, ingest, local):
    before = set(cluster.jobs())
    found = ingest(cluster.name, *cluster.options)
    (job,) = set(cluster.jobs()) - before
    assert cluster.jobs()[job] == "FINISHED"
    assert {name.split("/")[0] for name in found} >= {"train", "val", "test", "dataset.json"}
    assert found == local


def test_a_killed_process_costs_no_picture_and_doubles_none(cluster, ingest, home, local):
    name = f"{cluster.name}-killed"
    staged = home / f"{name}.private/staged"

    def begun():  # some pictures are there, and not all
        return 0 < sum(path.read_bytes().count(b"\n") for path in staged.glob("*.jsonl")) < IMAGES

    with cluster.losing(1, begun) as noticed:
        found = ingest(name, *cluster.options)
    assert len(noticed) == 1
    assert all(noticed.values()), noticed
    assert found == local
