"""Reads raw examples: as they are, or some of their features, some examples at a time."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from google.protobuf.message import DecodeError

from cxr.core.counts import agreeing, how_many
from cxr.core.errors import CxrError

_PARSED_AT_ONCE = 256
REMEDY = (
    "make records again with `cxr ingest`; of a run's own, below tfx/, remove the numbered folder that it lies in, then run again "
    "(Kubeflow: submit with --no-cache)"
)
_SMALLEST_GZIP = 20  # bytes, of nothing compressed: TensorFlow reads less than that as a file without examples
_SHARD = re.compile(r"(.*-)(\d{5})-of-(\d{5})([^/]*)")  # as TFX, Beam and `cxr ingest` name them


def files_of(patterns: Collection[str]) -> list[str]:
    """Returns the files that match, in order, each once; of any filesystem that TensorFlow knows.

    Raises:
      CxrError: Their names say that some shards are missing: what is left would read as if the others had never been.
    """
    files = sorted({file for pattern in patterns for file in tf.io.gfile.glob(pattern)})
    numbers: dict[tuple[str, int, str], set[int]] = {}
    for shard in filter(None, map(_SHARD.fullmatch, files)):
        start, number, count, end = shard.groups()
        numbers.setdefault((start, int(count), end), set()).add(int(number))
    for (start, count, end), found in numbers.items():
        if missing := set(range(count)) - found:
            file = f"{start}{min(missing):05d}-of-{count:05d}{end}"
            raise CxrError(
                f"{file}: {len(missing)} of the {how_many(count, 'shard')} {agreeing(len(missing), 'is', 'are')} missing; {REMEDY}"
            )
    return files


def examples(files: Iterable[str]) -> Iterator[tuple[str, tf.train.Example]]:
    """Yields each example, with the file that holds it.

    Args:
      files: TFRecords (.gz: compressed).

    Raises:
      CxrError: A file is gone or damaged.
    """
    for file in files:
        try:
            for serialized in _records(file).prefetch(tf.data.AUTOTUNE).as_numpy_iterator():
                yield file, tf.train.Example.FromString(serialized)
        except (tf.errors.OpError, DecodeError) as error:
            raise _unreadable(file, error) from None


def columns(files: Collection[str], defaults: Mapping[str, str | None]) -> Iterator[list[npt.NDArray[np.object_]]]:
    """Yields features of raw examples, bytes [examples], in the order in which they were asked for.

    Args:
      files: TFRecords (.gz: compressed).
      defaults: Feature to what stands in its place where an example has none; None: every example has it.

    Raises:
      CxrError: A file is gone or damaged, or an example lacks what every example has.
    """
    spec = {key: tf.io.FixedLenFeature([], tf.string, default) for key, default in defaults.items()}
    for file in files:
        try:
            for serialized in _records(file).batch(_PARSED_AT_ONCE):
                parsed = tf.io.parse_example(serialized, spec)
                yield [parsed[key].numpy() for key in defaults]
        except tf.errors.OpError as error:
            raise _unreadable(file, error) from None


def _records(file: str) -> tf.data.TFRecordDataset:
    if file.endswith(".gz") and (size := tf.io.gfile.stat(file).length) < _SMALLEST_GZIP:
        raise CxrError(f"{file}: is cut short, to {how_many(size, 'byte')}; {REMEDY}")
    return tf.data.TFRecordDataset(file, compression_type="GZIP" if file.endswith(".gz") else None)


def _unreadable(file: str, error: tf.errors.OpError | DecodeError) -> CxrError:
    return CxrError(f"{file}: cannot be read as raw examples ({getattr(error, 'message', error)}); {REMEDY}")
