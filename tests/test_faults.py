"""Every node of a small real pipeline is killed, finds the disk full and finds it read-only; then the run goes on and ends well.

docs/reliability.md lists these faults and all others. Each test runs what stands before its node first, so that it can be run by itself.
"""

import json
import shutil
import signal
import subprocess
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import tensorflow as tf
import yaml
from chain import PATIENCE, Chain, kill_at_work, kill_with_children, node_processes
from small_disk import SmallDisk, can_mount

from cxr.core import exit_codes
from cxr.core.errors import CxrError
from cxr.data.ingest.dataset import DATASET, Dataset
from cxr.data.ingest.ingest_config import Ingest
from cxr.pipeline.local_run import run
from cxr.pipeline.pipeline_config import load

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
CXR = Path(sys.executable).with_name("cxr")
MODEL = "mobilenet"
NODES = (
    "ImportExampleGen", "ImportSchemaGen", "StatisticsGen", "ExampleValidator", "InferredSchema", "PreviousStatistics", "DriftCheck",
    "AnomalyCheck", "Audit", "Transform", f"Trainer-{MODEL}", f"Baseline-{MODEL}", f"InfraCheck-{MODEL}", f"Evaluator-{MODEL}",
    f"Explanation-{MODEL}", f"ShortcutCheck-{MODEL}", f"Pusher-{MODEL}",
)  # fmt: skip
LONG = ("StatisticsGen", "Audit", "Transform", f"Evaluator-{MODEL}", f"Explanation-{MODEL}")  # to run to their end for nothing
BUSY = (f"Trainer-{MODEL}", f"InfraCheck-{MODEL}")  # longer still; the second has a server running meanwhile
WRITE_NOTHING = ("PreviousStatistics", f"Baseline-{MODEL}")  # resolvers: they choose among what there is
CONFIG = {
    "name": "small",
    "image_size": 32,
    "defaults": {
        "weights": "none",
        "bn_recalibration": "per_layer",
        "head": {"normalize": True, "l2": 0.1},
        "head_training": {"epochs": 2, "batch_size": 4, "optimizer": {"learning_rate": 0.001}},
    },
    "models": {MODEL: {"backbone": "MobileNet"}},
    "ensemble": None,
    "gate": {"min_accuracy": 0.0, "above_chance": False, "shortcut_margin": None},
    "audit": {"masked_models": False, "folds": 2},
    "explain": {"samples": 2},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    (folder / "small.yaml").write_text(yaml.safe_dump(CONFIG))
    return folder


@pytest.fixture(scope="module")
def records(folder, raw_examples):
    """As `cxr ingest` leaves them: twelve images to learn from, and the same to judge by."""
    files = {}
    for split in ("train", "test"):
        file = folder / "records" / split / "examples-00000-of-00001.tfrecord.gz"
        file.parent.mkdir(parents=True)
        with tf.io.TFRecordWriter(str(file), "GZIP") as writer:
            for example in raw_examples:
                writer.write(example)
        files[f"{split}/{file.name}"] = file.stat().st_size
    config = Ingest()
    counts = {split: dict.fromkeys(config.class_names, 4) for split in ("train", "test")}
    Dataset(
        source="made up", class_names=config.class_names, counts=counts, patients={}, own_patients=0, rejects=0, duplicates=0,
        seed=0, synthetic=True, config=config, fingerprint="", files=files, versions={},
    ).write(folder / "records" / DATASET)  # fmt: skip
    return folder / "records"


@pytest.fixture(scope="module")
def chain(folder, records):
    return Chain(load(str(folder / "small.yaml")), records, folder / "workspace")


@pytest.fixture(scope="module")
def disks(chain):
    """What the nodes write to: a file system for the artifacts, and one for the pushed models; None where only root may mount one."""
    home = chain.workspace.home
    if not can_mount(home / "tried"):
        warnings.warn("nobody but root may mount a small file system: no node finds its disk full or read-only here", stacklevel=1)
        yield None
        return
    both = SmallDisk(chain.workspace.pipeline_root), SmallDisk(chain.workspace.serving_models / MODEL)
    yield both
    for disk in both:
        disk.remove()


def test_the_nodes_are_those_of_the_graph(chain):
    assert tuple(chain.nodes) == NODES


@pytest.mark.parametrize("node", NODES)
def test_node(chain, disks, node):
    """Each attempt fails with a message and changes nothing that was there; the next one knows nothing of it."""
    chain.reach(node)
    before, known = chain.artifacts(), chain.known()
    pushes = node.startswith("Pusher")

    def failed(result, words, versions=0):
        assert result.state == "failed"
        assert words in result.error
        assert {name: chain.artifacts().get(name) for name in before} == before
        assert chain.known() == known
        assert len(chain.versions()) == versions

    failed(chain.attempt(node, kill_with_children), "SIGKILL")
    for disk in (disks[pushes],) if disks and node not in WRITE_NOTHING else ():
        with disk.full():
            failed(chain.attempt(node), "No space left on device; make room there")
        with disk.read_only():
            failed(chain.attempt(node), "Read-only file system; mount it to be written to")
    if node in BUSY:
        failed(chain.attempt(node, kill_at_work), "SIGKILL")
    elif node not in LONG:
        failed(chain.kill_while_it_publishes(node), "SIGKILL", versions=pushes)  # pushed, and only ML Metadata does not know

    result = chain.attempt(node)
    assert result.state == "done", result.error
    made = [artifact.uri for artifacts in result.outputs.values() for artifact in artifacts]
    assert sorted(chain.known()) == sorted({*known, *made})  # nothing twice
    assert len(chain.versions()) == pushes


def test_what_was_killed_and_went_on_is_a_run_like_any_other(chain, folder, records):
    chain.reach(NODES[-1])
    chain.attempt(NODES[-1])
    versions = chain.versions()
    assert run(load(str(folder / "small.yaml")), str(records), folder / "workspace") == exit_codes.OK
    report = json.loads((chain.workspace.runs / "latest" / "report.json").read_text())
    looking = (*WRITE_NOTHING, f"Pusher-{MODEL}")  # look anew what there is
    assert {name: node["state"] for name, node in report["nodes"].items()} == {
        name: "done" if name in looking else "cached" for name in NODES
    }
    assert chain.versions() == versions
    assert set(tf.saved_model.load(str(versions[0])).signatures) >= {"serving_default", "image_bytes"}


def test_sigterm_ends_a_run_and_keeps_a_second_one_out_until_then(chain, folder, records):
    chain.reach(f"Trainer-{MODEL}")
    versions = chain.versions()
    command = [CXR, "run", "--config", "small.yaml", "--data", records, f"models.{MODEL}.head_training.epochs=1000000"]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if "Transform" in line:
                break
        until_it_trains(process)
        with pytest.raises(CxrError, match="another run of pipeline 'small' is under way"):
            run(load(str(folder / "small.yaml")), str(records), folder / "workspace")
        started = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        said = process.stderr.read()
        assert process.wait(PATIENCE) == exit_codes.TERMINATED
    finally:
        process.kill()
    assert "the same command goes on where this one stopped\nterminated (SIGTERM)" in said
    assert psutil.wait_procs(started, PATIENCE)[1] == []
    record = json.loads((newest(chain) / "run.json").read_text())
    assert (record["exit_code"], record["error"]) == (exit_codes.TERMINATED, "ended by SIGTERM")
    assert chain.versions() == versions


def test_a_flipped_bit_in_a_shard_is_named_and_stops_what_needs_it(folder, records, tmp_path, capfd):
    damaged = tmp_path / "damaged"
    shutil.copytree(records, damaged)
    shard = next((damaged / "train").iterdir())
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    assert run(load(str(folder / "small.yaml")), str(damaged), tmp_path / "workspace") == exit_codes.FAILED
    assert f"{shard}: is damaged (" in capfd.readouterr().err
    report = json.loads((tmp_path / "workspace" / "small" / "runs" / "latest" / "report.json").read_text())
    states = {name: node["state"] for name, node in report["nodes"].items()}
    assert states == {**dict.fromkeys(NODES, "skipped"), "ImportExampleGen": "failed", "ImportSchemaGen": "done"}


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (lambda disk: disk.full(), "No space left on device; make room there, then run the same command again"),
        (lambda disk: disk.full(files=100), "No space left on device; make room there, then run the same command again"),
        (lambda disk: disk.read_only(), "Read-only file system; mount it to be written to, or name another place"),
    ],
    ids=["full", "filled up", "read-only"],
)
def test_a_workspace_that_takes_nothing_is_told_before_anything_is_done(folder, records, tmp_path, fault, words):
    if not can_mount(tmp_path / "small"):
        pytest.skip("a small file system can be mounted by root only")
    disk = SmallDisk(tmp_path / "small")
    try:
        with fault(disk), pytest.raises(CxrError, match=words):
            run(load(str(folder / "small.yaml")), str(records), tmp_path / "small")
    finally:
        disk.remove()


def until_it_trains(process):
    """The node's process is in the middle of its work, as `kill_at_work` has it; those before it come from the cache, in less."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for node in node_processes(psutil.Process(process.pid)):
            with suppress(psutil.NoSuchProcess):  # another node, which ends
                if node.cpu_times().user > 1:
                    return
        time.sleep(0.1)


def newest(chain):
    return max(run for run in chain.workspace.runs.iterdir() if run.name != "latest")
