"""Reads features of raw examples, some examples at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cxr.core.errors import CxrError

_PARSED_AT_ONCE = 256


def files_of(patterns: Collection[str]) -> list[str]:
    """Returns the files that match, in order, each once; of any filesystem that TensorFlow knows."""
    return sorted({file for pattern in patterns for file in tf.io.gfile.glob(pattern)})


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
        records = tf.data.TFRecordDataset(file, compression_type="GZIP" if file.endswith(".gz") else None)
        try:
            for serialized in records.batch(_PARSED_AT_ONCE):
                parsed = tf.io.parse_example(serialized, spec)
                yield [parsed[key].numpy() for key in defaults]
        except tf.errors.OpError as error:
            raise CxrError(f"{file}: cannot be read as raw examples ({error.message}); make it again with `cxr ingest`") from None
