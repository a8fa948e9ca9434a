"""`cxr ingest` beside a plain loop, and beside decoding alone; all on all cores, without the start of processes."""

from __future__ import annotations

import functools
import io
import tempfile
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from PIL import Image

from bench.data import GROWTH, Data
from bench.row import FLOOR, Done, Round, Row, Side, timed
from cxr.core.machine import cores
from cxr.data.images.reader import JPEG_QUALITY, MAX_SIDE

PILLOW_GOAL = 1.5


def ingest(data: Data, stack: ExitStack, times: int = 3) -> Round:
    """All that `cxr ingest` does: reads, checks, hashes, encodes, looks for duplicates, splits by patient, writes records."""
    source = data.source(times)

    def work() -> Done:
        with tempfile.TemporaryDirectory(dir=data.folder) as folder:
            return timed(lambda: data.ingest(source, Path(folder) / "out"), times * data.count // 3)

    return work


def pillow(data: Data, stack: ExitStack) -> Round:
    """What a script would do with Pillow: decode, to grey, shrink, encode, write; every process a file of records."""
    shares = _shares(data)
    pool = stack.enter_context(ProcessPoolExecutor(len(shares)))
    out = stack.enter_context(tempfile.TemporaryDirectory(dir=data.folder))
    targets = [f"{out}/{number}.tfrecord.gz" for number in range(len(shares))]
    return lambda: timed(lambda: list(pool.map(_convert, shares, targets)), data.count)


def _convert(files: list[str], target: str) -> None:
    from tensorflow.io import TFRecordOptions, TFRecordWriter
    from tensorflow.train import BytesList, Example, Feature, Features

    with TFRecordWriter(target, TFRecordOptions(compression_type="GZIP", compression_level=1)) as writer:
        for file in files:
            picture = Image.open(file)
            grey, encoded = picture.convert("L"), io.BytesIO()
            grey.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
            if picture.format == "JPEG":
                grey.save(encoded, "JPEG", quality=JPEG_QUALITY)
            else:
                grey.save(encoded, "PNG")
            feature = {"image": Feature(bytes_list=BytesList(value=[encoded.getvalue()]))}
            writer.write(Example(features=Features(feature=feature)).SerializeToString())


def decoded_by_pillow(data: Data, stack: ExitStack) -> Round:
    """Decoding alone, in a thread per core: Pillow lets the others work meanwhile."""
    shares = _shares(data)
    pool = stack.enter_context(ThreadPoolExecutor(len(shares)))

    def decode(files: list[str]) -> None:
        for file in files:
            np.asarray(Image.open(file))

    return lambda: timed(lambda: list(pool.map(decode, shares)), data.count)


def decoded_by_tensorflow(data: Data, stack: ExitStack) -> Round:
    """Decoding alone, by tf.data."""
    import tensorflow as tf

    files = [file for share in _shares(data) for file in share]
    decode = lambda file: tf.io.decode_image(tf.io.read_file(file), channels=1, expand_animations=False)  # noqa: E731
    pictures = tf.data.Dataset.from_tensor_slices(files).map(decode, tf.data.AUTOTUNE, deterministic=False)

    def work() -> Done:
        return timed(lambda: [None for _ in pictures], data.count)

    return work


def _shares(data: Data) -> list[list[str]]:
    files = sorted(str(file) for file in (data.source() / "images").iterdir())
    return [files[number :: cores()] for number in range(cores())]


ROW = Row(
    "ingest",
    "cxr ingest, beside less and less of its work on all cores",
    "images/s",
    Data.source,
    Side("cxr ingest", ingest),
    (
        Side("Pillow loop: decode, encode, write", pillow, PILLOW_GOAL),
        Side("TensorFlow decodes", decoded_by_tensorflow, FLOOR),
        Side("Pillow decodes", decoded_by_pillow, FLOOR),
    ),
)

_FEW, _SOME, _MANY = (functools.partial(ingest, times=times) for times in GROWTH)


def _sources(data: Data) -> None:
    for times in GROWTH:
        data.source(times)


GROWTH_ROW = Row(
    "ingest-growth",
    "cxr ingest of ten times the images, beside fewer: what an image costs must not grow",
    "images/s",
    _sources,
    Side(f"{GROWTH[2]} times the images", _MANY),
    (Side(f"{GROWTH[1]} times", _SOME, 0.9), Side(f"{GROWTH[0]} times", _FEW, 0.9)),
)
