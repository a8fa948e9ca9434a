"""A set of labelled images, a folder of records, and a pushed version that tells classes by brightness."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from rich.console import Console

from cxr.core import features
from cxr.data.ingest.ingest import ingest
from cxr.data.ingest.ingest_config import Ingest
from cxr.trainer.training_data import image_keys, save_training_images

CLASSES = features.CLASS_NAMES


def picture(seed: int, level: int) -> Image.Image:
    """A smooth picture that is like no other, of a mean brightness."""
    coarse = np.random.default_rng(seed).normal(level, 25, (8, 8)).clip(0, 255).astype(np.uint8)
    return Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC)


def write_source(folder: Path, labels: list[str], first: int = 0, level: int | None = None, **facts: str) -> Path:
    """A manifest with two images per patient; dark ones are of the first class, bright ones of the last."""
    (folder / "images").mkdir(parents=True)
    with (folder / "manifest.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", "label", "patient_id", *facts])
        for number, label in enumerate(labels, first):
            picture(number, 50 + 70 * CLASSES.index(label) if level is None else level).save(folder / "images" / f"SECRET{number}.png")
            writer.writerow([f"images/SECRET{number}.png", label, f"DOE-{number // 2}", *facts.values()])
    return folder / "manifest.csv"


@pytest.fixture
def write():
    """Writes a manifest with its images."""
    return write_source


@pytest.fixture(scope="session")
def key_file(tmp_path_factory) -> Path:
    """One key of pseudonyms for all."""
    file = tmp_path_factory.mktemp("key") / "pseudonym.key"
    file.write_text("0123456789abcdef" * 4)
    return file


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch, key_file):
    monkeypatch.setenv("CXR_PSEUDONYM_KEY_FILE", str(key_file))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def records(tmp_path_factory, key_file) -> Path:
    """Records of 60 images of 30 patients, in three splits."""
    folder = tmp_path_factory.mktemp("training")
    write_source(folder / "source", [CLASSES[number // 2 % 3] for number in range(60)], source="here", sex="f", age="50")
    ingest(folder / "source", folder / "records", Ingest(), key_file=key_file, console=Console(file=io.StringIO()))
    return folder / "records"


class _Brightness(tf.Module):
    """Dark, medium, bright: the three classes, by softmax of the distance."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=features.SIGNATURE_BYTES)])
    def image_bytes(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        def brightness(image: tf.Tensor) -> tf.Tensor:
            return tf.reduce_mean(tf.cast(tf.io.decode_image(image, channels=1, expand_animations=False), tf.float32))

        bright = tf.map_fn(brightness, image_bytes, fn_output_signature=tf.float32)
        shares = tf.nn.softmax(-tf.abs(bright[:, None] - tf.constant([[50.0, 120.0, 190.0]])) / 10)
        return {features.PROBABILITIES: shares, features.OUTSIDE: bright > 215}


@pytest.fixture(scope="session")
def version(tmp_path_factory, records) -> Path:
    """A pushed version of a model `tiny`, beside the report of the run that trained it on `records`."""
    home = tmp_path_factory.mktemp("workspace") / "demo"
    folder = home / "serving_models" / "tiny" / "17"
    module = _Brightness()
    tf.saved_model.save(module, str(folder), signatures={features.SIGNATURE_BYTES: module.image_bytes})
    (folder / "assets.extra").mkdir()
    info = {"name": "tiny", "class_names": CLASSES, "image_size": 64, "synthetic": False}
    (folder / "assets.extra" / "model.json").write_text(json.dumps(info))
    push = {
        "version": "17", "pushed_at": "", "pipeline": "demo", "run": "", "source": "here/model/8", "fingerprint": "", "split": "test",
        "metrics": {}, "floor": "17",
    }  # fmt: skip
    (folder / "assets.extra" / "push.json").write_text(json.dumps(push))
    run = home / "runs" / "1"
    run.mkdir(parents=True)
    report = {
        "pipeline": "demo",
        "data": str(records),
        "models": {"tiny": {"outcome": "pushed", "version": "17", "model_uri": "here/model/8"}},
    }
    (run / "report.json").write_text(json.dumps(report))
    files = [str(file) for split in ("train", "val") for file in sorted((records / split).iterdir())]
    parsed = tf.io.parse_example(
        list(tf.data.TFRecordDataset(files, "GZIP")), {features.CONTENT_HASH: tf.io.FixedLenFeature([], tf.string)}
    )
    save_training_images(str(folder), image_keys(value.decode() for value in parsed[features.CONTENT_HASH].numpy()))
    return folder
