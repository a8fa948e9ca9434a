"""Reads the records of a split, some examples at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import tensorflow as tf

_PARSED_AT_ONCE = 256


def columns(patterns: Collection[str], defaults: Mapping[str, str | None]) -> Iterator[list[npt.NDArray[np.object_]]]:
    """Yields features of raw examples, bytes [examples], in the order in which they were asked for.

    Args:
      patterns: File patterns of TFRecords (.gz: compressed); of what does not exist nothing is yielded.
      defaults: Feature to what stands in its place where an example has none; None: every example has it.
    """
    spec = {key: tf.io.FixedLenFeature([], tf.string, default) for key, default in defaults.items()}
    for file in sorted({file for pattern in patterns for file in tf.io.gfile.glob(pattern)}):
        records = tf.data.TFRecordDataset(file, compression_type="GZIP" if file.endswith(".gz") else None)
        for serialized in records.batch(_PARSED_AT_ONCE):
            parsed = tf.io.parse_example(serialized, spec)
            yield [parsed[key].numpy() for key in defaults]
