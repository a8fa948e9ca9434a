"""Which images of a split are explained: a fixed sample, and those that are asked for."""

from __future__ import annotations

import hashlib
import heapq
import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cxr.components.metrics.answers import image_number
from cxr.core import features
from cxr.data.example_columns import columns, files_of
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
    drawn: list[tuple[int, int, _Row]] = []
    asked: dict[int, _Row] = {}
    for place, row in enumerate(_rows(patterns)):
        if (number := image_number(row.content_hash)) in wanted:
            asked[number] = row
        # The images with the smallest hashes: as good as random, and one more image of the split changes one at most.
        order = int.from_bytes(hashlib.blake2b(row.content_hash, key=seed.to_bytes(8, "little"), digest_size=8).digest(), "little")
        (heapq.heappush if len(drawn) < samples else heapq.heappushpop)(drawn, (-order, place, row))
    kept = {image_number(row.content_hash): row for _, _, row in sorted(drawn, reverse=True)}
    besides = {number: row for number, row in sorted(asked.items()) if number not in kept}
    return [
        Sampled(number, number in kept, row.encoded, row.label.decode(), row.patient, decode_mask(row.mask) if row.mask else None)
        for number, row in (kept | besides).items()
    ]


class _Row(NamedTuple):
    encoded: bytes
    label: bytes
    content_hash: bytes
    patient: bytes
    mask: bytes


def _rows(patterns: Collection[str]) -> Iterator[_Row]:
    needed: dict[str, str | None] = {features.IMAGE: None, features.LABEL: None}
    needed |= dict.fromkeys((features.CONTENT_HASH, features.PATIENT_ID, features.LESION_MASK), "")
    for batch in columns(files_of(patterns), needed):
        yield from itertools.starmap(_Row, zip(*batch, strict=True))
