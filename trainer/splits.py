"""The examples of a split, read from TFRecords.

The encoded images of a split (10 to 30 KB each for the JPEGs that `cxr ingest` writes) wait in a temporary file, so that memory does not
grow with them; what is said of them is held.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cxr.core import features
from cxr.core.errors import CxrError
from cxr.data.example_columns import REMEDY, columns, files_of
from cxr.trainer.encoded_images import EncodedImages
from cxr.trainer.transform_graph import TransformGraph


@dataclass(frozen=True)
class Split:
    """The examples of one split, sorted by content hash (shards come in any order)."""

    images: EncodedImages  # [images]
    labels: npt.NDArray[np.int64]  # [images], positions among the class names
    content_hash: npt.NDArray[np.str_]  # [images]
    patients: npt.NDArray[np.str_]  # [images], pseudonyms; an image without one is a patient of its own
    sources: npt.NDArray[np.str_]  # [images], the collections that they come from
    licenses: npt.NDArray[np.str_]  # [images], features.UNKNOWN where not stated

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def synthetic(self) -> int:
        """How many of them were made up."""
        return int(np.sum(self.sources == features.SYNTHETIC))

    def take(self, which: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> Split:
        """Returns some of the examples, by position or by mask."""
        return Split(
            self.images[which],
            self.labels[which],
            self.content_hash[which],
            self.patients[which],
            self.sources[which],
            self.licenses[which],
        )


def read_split(patterns: Sequence[str], transform: TransformGraph) -> Split:
    """Reads TFRecords of raw examples.

    Args:
      patterns: File patterns; files that end in .gz are decompressed.
      transform: Numbers the labels.

    Raises:
      CxrError: No file, a damaged one, or an example without image, label or content hash, or with an unknown label.
    """
    files = files_of(patterns)
    if not files:
        raise CxrError(f"{', '.join(patterns) or 'no pattern given'}: no TFRecords of examples; {REMEDY}")
    defaults = {
        features.IMAGE: None,
        features.LABEL: None,
        features.CONTENT_HASH: None,
        features.PATIENT_ID: "",
        features.SOURCE: features.UNKNOWN,
        features.LICENSE: features.UNKNOWN,
    }
    labels: list[bytes] = []
    # What differs from image to image is held in arrays, where a string is its characters only.
    hashes: list[npt.NDArray[np.bytes_]] = [np.empty(0, np.bytes_)]
    patients: list[npt.NDArray[np.bytes_]] = [np.empty(0, np.bytes_)]
    sources: list[bytes] = []
    licenses: list[bytes] = []
    once: dict[bytes, bytes] = {}  # few values that all examples share: memory holds each once

    def encoded() -> Iterator[bytes]:
        for encoded_images, label, content_hash, patient, source, license_ in columns(files, defaults):
            hashes.append(content_hash.astype(np.bytes_))
            patients.append(patient.astype(np.bytes_))
            for column, values in ((labels, label), (sources, source), (licenses, license_)):
                column.extend(once.setdefault(value, value) for value in values)
            yield from encoded_images

    images = EncodedImages.of(encoded())
    indices = transform.label_indices(tf.constant(labels, tf.string)).numpy()
    if unknown := sorted(label.decode() for label, index in zip(labels, indices, strict=True) if index < 0):
        raise CxrError(f"{files[0]}: label {unknown[0]!r} is none of {', '.join(transform.class_names)}; set data.class_names")
    content, known = np.concatenate(hashes), np.concatenate(patients)
    order = np.lexsort((np.array(labels, np.bytes_), content))
    described = (content, np.where(known == b"", content, known), np.array(sources, np.bytes_), np.array(licenses, np.bytes_))
    return Split(images[order], indices[order], *(_decoded(column[order]) for column in described))


def _decoded(column: npt.NDArray[np.bytes_]) -> npt.NDArray[np.str_]:
    try:
        return column.astype(np.str_)
    except UnicodeDecodeError:  # not ASCII: by way of Python's strings, which take more room
        return np.char.decode(column, "utf-8")
