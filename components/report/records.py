"""Reads the records of a split, a few examples at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf

_PARSED_AT_ONCE = 256


def columns(folder: str | Path, defaults: Mapping[str, str | None]) -> Iterator[list[npt.NDArray[np.object_]]]:
    """Yields features of raw examples, bytes [examples], in the order in which they were asked for.

    Args:
      folder: Of TFRecords; where it does not exist nothing is yielded.
      defaults: Feature to what stands in its place where an example has none; None: every example has it.
    """
    spec = {key: tf.io.FixedLenFeature([], tf.string, default) for key, default in defaults.items()}
    for file in sorted(tf.io.gfile.glob(f"{folder}/*")):
        records = tf.data.TFRecordDataset(file, compression_type="GZIP" if file.endswith(".gz") else None)
        for serialized in records.batch(_PARSED_AT_ONCE):
            parsed = tf.io.parse_example(serialized, spec)
            yield [parsed[key].numpy() for key in defaults]
