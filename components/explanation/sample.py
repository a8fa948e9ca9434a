"""Which images of a split are explained: a fixed sample, and those that are asked for."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cxr.components.metrics.answers import image_number
from cxr.core import features
from cxr.data.images.masks import decode_mask


@dataclass(frozen=True)
class Sampled:
    """One image of the split.

    Attributes:
      number: That it is known by.
      drawn: Part of the sample; else it was asked for.
      encoded: JPEG or PNG.
      label: Class.
      patient: Pseudonym.
      mask: Where the disease shows, bool [height, width]; None: nowhere, or nobody knows.
    """

    number: int
    drawn: bool
    encoded: bytes
    label: str
    patient: bytes
    mask: npt.NDArray[np.bool_] | None


def draw(patterns: Collection[str], samples: int, seed: int, wanted: Collection[int] = ()) -> list[Sampled]:
    """Reads a split once and keeps some of its images, the same ones whatever order they come in.

    Args:
      patterns: File patterns of TFRecords.
      samples: How many are drawn.
      seed: Of the draw.
      wanted: Numbers of images that are kept besides.
    """
    drawn: list[tuple[int, int, Sampled]] = []
    asked: dict[int, Sampled] = {}
    for number, (content_hash, one) in enumerate(_examples(patterns)):
        if one.number in wanted:
            asked[one.number] = one
        # The images with the smallest hashes: as good as random, and one more image of the split changes one at most.
        order = int.from_bytes(hashlib.blake2b(content_hash, key=seed.to_bytes(8, "little"), digest_size=8).digest(), "little")
        (heapq.heappush if len(drawn) < samples else heapq.heappushpop)(drawn, (-order, number, one))
    kept = {one.number: _as_drawn(one) for _, _, one in sorted(drawn, reverse=True, key=lambda row: row[:2])}
    return [*kept.values(), *(one for number, one in sorted(asked.items()) if number not in kept)]


def _as_drawn(one: Sampled) -> Sampled:
    return Sampled(one.number, True, one.encoded, one.label, one.patient, one.mask)


def _examples(patterns: Collection[str]) -> Iterator[tuple[bytes, Sampled]]:
    spec = {key: tf.io.FixedLenFeature([], tf.string) for key in (features.IMAGE, features.LABEL)}
    spec |= {key: tf.io.FixedLenFeature([], tf.string, "") for key in (features.CONTENT_HASH, features.PATIENT_ID, features.LESION_MASK)}
    for file in sorted({file for pattern in patterns for file in tf.io.gfile.glob(pattern)}):
        records = tf.data.TFRecordDataset(file, compression_type="GZIP" if file.endswith(".gz") else None)
        for record in records.as_numpy_iterator():
            found = {key: value.numpy() for key, value in tf.io.parse_single_example(record, spec).items()}
            content_hash, mask = found[features.CONTENT_HASH], found[features.LESION_MASK]
            yield (
                content_hash,
                Sampled(
                    image_number(content_hash),
                    False,
                    found[features.IMAGE],
                    found[features.LABEL].decode(),
                    found[features.PATIENT_ID],
                    decode_mask(mask) if mask else None,
                ),
            )
