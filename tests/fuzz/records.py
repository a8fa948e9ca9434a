"""Fuzz targets: what a stranger's folder of records holds, and logs of requests."""

from __future__ import annotations

import contextlib
import gzip
import io
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from unittest import mock

import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import prediction_log_pb2

from cxr.core.errors import CxrError
from cxr.core.features import CLASS_NAMES, REQUEST_LOG_SUFFIX
from cxr.data.audit.records import read_pictures, read_tables
from cxr.data.ingest.dataset import DATASET, Dataset, read_dataset
from cxr.data.ingest.ingest_config import Ingest
from cxr.pipeline.outside.labelled import open_labelled
from cxr.pipeline.outside.unlabelled import open_new

from .harness import Target
from .pictures import made_images

_NAMES = (
    "image",
    "format",
    "height",
    "width",
    "label",
    "patient_id",
    "source",
    "view",
    "sex",
    "age_band",
    "content_hash",
    "age",
    "mean",
    "\ud7ff",
)
_BYTES = (b"", b"normal", b"covid19", b"png", b"\xff", b"F", b"x" * 2000, b"0" * 64)
_BUFFER = 256 * 1024  # bytes, as tf.data.TFRecordDataset has it
_NUMBERS = (0, 1, -1, 40, 2**31, 2**62, -(2**62))


def records_target() -> Target:
    """A file of raw examples, as the audit and `cxr evaluate` read it: damaged in its frames, or whole with odd contents."""
    file = Path(tempfile.mkdtemp()) / "train.gz"
    plain = file.with_name("train")

    def run(data: bytes) -> None:
        target = file if data[:2] == b"\x1f\x8b" else plain
        target.write_bytes(data)
        with _untraced_reader(), contextlib.suppress(CxrError):
            read_tables({"train": [str(target)]}, CLASS_NAMES)
            read_pictures([str(target)], CLASS_NAMES, 2, 1)

    good = framed([good_example(k).SerializeToString() for k in range(2)])
    return Target(run, (good, gzip.compress(good, mtime=0), framed([])), made_records)


def outside_target() -> Target:
    """The same records, and logs of requests, as `cxr evaluate` and `cxr validate` read them."""
    folder = Path(tempfile.mkdtemp())
    (folder / "records" / "test").mkdir(parents=True)
    (folder / "records" / DATASET).write_bytes(_dataset())
    records, log = folder / "records" / "test" / "a.gz", folder / f"log{REQUEST_LOG_SUFFIX}"

    def run(data: bytes) -> None:
        if data[:2] == b"\x1f\x8b":
            records.write_bytes(data)
            with _untraced_reader(), contextlib.suppress(CxrError):
                for _ in open_labelled(str(records.parents[1]), None, Ingest()).images:
                    pass
            return
        log.write_bytes(data)
        with _untraced_reader(), contextlib.suppress(CxrError):
            for _ in open_new(str(log), None, Ingest(max_pixels=2**20)).images:
                pass

    good = good_example(1).SerializeToString()
    packed = gzip.compress(framed([good]), mtime=0)
    return Target(run, (packed, framed([_logged(good).SerializeToString()])), _made_outside)


def dataset_target() -> Target:
    """dataset.json, which says what a folder of records holds."""
    folder = Path(tempfile.mkdtemp())

    def run(data: bytes) -> None:
        (folder / DATASET).write_bytes(data)
        with contextlib.suppress(CxrError):
            found = read_dataset(folder)
            assert found.images is not None
            assert found.splits is not None

    return Target(run, (_dataset(),))


@contextlib.contextmanager
def _untraced_reader() -> Iterator[None]:
    """Has TensorFlow's reader of TFRecords alone do the reading.

    `tf.data.TFRecordDataset` traces a function, optimises a graph and starts an autotuner for every file: nine tenths of what an input
    of some hundred bytes costs, and nothing that the bytes have a say in.
    """
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    options.autotune.enabled = False

    def dataset(file: str, compression_type: str | None = None) -> tf.data.Dataset:
        records = tf.raw_ops.TFRecordDataset(filenames=[file], compression_type=compression_type or "", buffer_size=_BUFFER)
        return tf.data.experimental.from_variant(records, tf.TensorSpec([], tf.string)).with_options(options)

    with mock.patch.object(tf.data, "TFRecordDataset", dataset):
        yield


def _dataset() -> bytes:
    known = {"source": "in", "class_names": CLASS_NAMES, "counts": {"test": {"normal": 3}}, "patients": {"test": 3}, "own_patients": 0}
    rest = {
        "rejects": 0,
        "duplicates": 0,
        "seed": 1,
        "synthetic": True,
        "config": Ingest(),
        "fingerprint": "a",
        "files": {"test/a.gz": 9},
        "versions": {},
    }
    return Dataset.model_validate(known | rest).model_dump_json(indent=1).encode()


def framed(records: list[bytes]) -> bytes:
    """Returns a TFRecord file whose checksums are right, so that a reader gets to the records."""
    with tempfile.NamedTemporaryFile() as file:
        with tf.io.TFRecordWriter(file.name) as writer:
            for record in records:
                writer.write(record)
        return Path(file.name).read_bytes()


def good_example(number: int) -> tf.train.Example:
    """A raw example as `cxr ingest` writes it."""
    out = io.BytesIO()
    Image.linear_gradient("L").resize((48, 40)).rotate(90 * number).save(out, "PNG")
    texts = {
        "image": out.getvalue(),
        "format": b"png",
        "label": b"normal",
        "patient_id": b"p%d" % number,
        "content_hash": b"%064x" % number,
    }
    feature = {name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[text])) for name, text in texts.items()}
    for name, size in (("height", 40), ("width", 48)):
        feature[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=[size]))
    return tf.train.Example(features=tf.train.Features(feature=feature))


def made_example(rng: Random) -> bytes:
    """A raw example of which some features are odd, of another type, or gone."""
    example = good_example(rng.randrange(3))
    for name in rng.sample(_NAMES, rng.randint(1, 3)):
        feature = example.features.feature[name]
        feature.Clear()
        kind = rng.randrange(4)
        if kind == 0:
            feature.bytes_list.value.extend(rng.choices((*_BYTES, made_images(rng)), k=rng.randint(0, 2)))
        elif kind == 1:
            feature.int64_list.value.extend(rng.choices(_NUMBERS, k=rng.randint(0, 2)))
        elif kind == 2:
            feature.float_list.value.extend(rng.choices((0.0, float("nan"), float("inf"), 1e38), k=rng.randint(0, 2)))
        else:
            del example.features.feature[name]
    return example.SerializeToString()


def _logged(value: bytes) -> prediction_log_pb2.PredictionLog:
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.inputs["examples"].CopyFrom(tf.make_tensor_proto([value]))
    log.predict_log.response.outputs["outside"].CopyFrom(tf.make_tensor_proto([True]))
    return log


def _made_outside(rng: Random) -> bytes:
    if rng.random() < 0.5:
        return gzip.compress(made_records(rng), mtime=0)
    log = _logged(made_example(rng) if rng.random() < 0.7 else made_images(rng))
    if rng.random() < 0.3:
        log.predict_log.response.outputs["outside"].tensor_shape.dim[0].size = rng.choice((-1, 0, 2**40))
    if rng.random() < 0.2:
        log.predict_log.request.inputs["examples"].string_val.append(rng.choice(_BYTES))
    return framed([log.SerializeToString()])


def made_records(rng: Random) -> bytes:
    """Frames that are whole: records of odd examples; now and then a length that is not there."""
    data = framed([made_example(rng) if rng.random() < 0.8 else rng.randbytes(rng.randint(0, 40)) for _ in range(rng.randint(1, 3))])
    return data if rng.random() < 0.95 else struct.pack("<Q", rng.choice((0, 2**31, 2**40, 2**63))) + data[8:]
