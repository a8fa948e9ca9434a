"""Records of synthetic radiographs, clean and with a planted confounder, as `cxr ingest` would write them."""

import csv
import functools
import io
from pathlib import Path
from unittest import mock

import pytest
from rich.console import Console

from cxr.core import features
from cxr.data.demo import generate, radiograph
from cxr.data.demo.generate import make_demo_data
from cxr.data.images.reader import read_image
from cxr.data.ingest.dataset import DATASET, Dataset
from cxr.data.ingest.ingest_config import Ingest
from cxr.data.ingest.records import example
from cxr.data.ingest.rows import Row
from cxr.data.ingest.staged import Picture

TEST_SHARE = 4  # every fourth patient


@pytest.fixture(scope="session")
def demo_records(tmp_path_factory):
    """Returns a function from a confounder to a folder of records of 64 pixels; Beam would take seconds for it."""
    import tensorflow as tf

    drawn: dict = {}  # what is planted is planted into the same pictures

    def render(*arguments):
        *what, rng = arguments
        key = (*what, rng.bit_generator.state["state"]["state"])
        if key not in drawn:
            drawn[key] = radiograph.render(*arguments)
        return drawn[key]

    @functools.cache
    def make(confounder, images=180) -> Path:
        folder = tmp_path_factory.mktemp(confounder)
        console = Console(file=io.StringIO())
        with mock.patch.object(generate, "render", render):
            manifest = make_demo_data(folder / "demo", images=images, image_size=64, seed=3, console=console, confounder=confounder)
        with manifest.open() as stream:
            rows = list(csv.DictReader(stream))
        counts = {split: dict.fromkeys(features.CLASS_NAMES, 0) for split in ("train", "test")}
        for split in counts:
            (folder / split).mkdir()
            with tf.io.TFRecordWriter(str(folder / split / "examples-00000-of-00001.tfrecord.gz"), "GZIP") as writer:
                for row in rows:
                    patient = row["patient_id"]
                    if (int(patient.rpartition("-")[2]) % TEST_SHARE == 0) == (split == "test"):
                        picture = Picture.of(read_image(str(manifest.parent / row["image"])))
                        one = Row(
                            "", row["image"], "", 0, row["label"], patient, split, row["source"], row["view"], row["sex"],
                            age=float(row["age"]),
                        )  # fmt: skip
                        writer.write(example(one, picture).SerializeToString())
                        counts[split][row["label"]] += 1
        dataset = Dataset(
            source="demo", class_names=features.CLASS_NAMES, counts=counts, patients={}, own_patients=0, rejects=0, duplicates=0,
            seed=0, synthetic=True, config=Ingest(), fingerprint="", files={}, versions={},
        )  # fmt: skip
        (folder / DATASET).write_text(dataset.model_dump_json())
        return folder

    return make
