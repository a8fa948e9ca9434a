"""The features of labelled images as a table, and small versions of the pictures: all that new and training data are compared by."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pandas as pd

from cxr.core import features
from cxr.data.duplicates.find import near_duplicates
from cxr.data.duplicates.thumbnails import READ_SIDE, SIDE, Thumbnails, thumbnail
from cxr.data.images import reader
from cxr.pipeline.outside.labelled import Labelled, LabelledImages

_AT_ONCE = 256


@dataclass(frozen=True)
class Gathered:
    """What is kept of a set of images.

    Attributes:
      table: One row per image: every raw feature but the picture.
      thumbnails: uint8 [images, SIDE, SIDE], black for synthetic pictures, which are not compared; None where nobody wanted them.
    """

    table: pd.DataFrame
    thumbnails: Thumbnails | None

    def __add__(self, other: Gathered) -> Gathered:
        """Joins two sets."""
        small = None if self.thumbnails is None or other.thumbnails is None else np.concatenate([self.thumbnails, other.thumbnails])
        return Gathered(pd.concat([self.table, other.table], ignore_index=True), small)


@dataclass(frozen=True)
class Copies:
    """Images of the new data that the training data hold too.

    Attributes:
      exact: Equal to the pixel.
      near: Others that show the same radiograph; None: not looked for.
      other_label: Of both, how many stand there under another label.
    """

    exact: int
    near: int | None
    other_label: int


def gather(data: LabelledImages, small: bool, advance: Callable[[], None]) -> Gathered:
    """Reads all images of a set.

    Args:
      data: Not read yet.
      small: Whether thumbnails are wanted.
      advance: Called once per image.

    Raises:
      CxrError: The data are damaged, or hold too much that is no image.
    """
    facts, pictures = [], [np.zeros((0, SIDE, SIDE), np.uint8)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while some := list(islice(data.images, _AT_ONCE)):
            facts += [item.facts for item in some]
            if small:
                pictures.append(np.stack(list(pool.map(_thumbnail, some))))
            for _ in some:
                advance()
    return Gathered(pd.DataFrame(facts), np.concatenate(pictures) if small else None)


def copies(new: Gathered, training: Gathered, stage: Callable[[str, int], Callable[[int], None]]) -> Copies:
    """Finds the training pictures among new ones.

    Args:
      new: At least one image.
      training: The same.
      stage: See `near_duplicates`.
    """
    labels: dict[str, set[str]] = {}
    for key, label in zip(training.table[features.CONTENT_HASH], training.table[features.LABEL], strict=True):
        labels.setdefault(key, set()).add(label)
    own = list(zip(new.table[features.CONTENT_HASH], new.table[features.LABEL], strict=True))
    known = {number: labels[key] for number, (key, _) in enumerate(own) if key in labels}
    exact = len(known)
    if new.thumbnails is None or training.thumbnails is None:
        return Copies(exact, None, sum(own[number][1] not in found for number, found in known.items()))
    count = len(own)
    theirs = training.table[features.LABEL].tolist()
    # Of pictures with one and the same thumbnail only the pairs with the first are given: with the training pictures first, none is missed.
    both = np.concatenate([training.thumbnails, new.thumbnails])
    for pair in near_duplicates(both, os.cpu_count() or 1, stage):
        first, second = pair.first, pair.second - len(theirs)
        if first < len(theirs) and 0 <= second < count:
            known.setdefault(second, set()).add(theirs[first])
    return Copies(exact, len(known) - exact, sum(own[number][1] not in found for number, found in known.items()))


def _thumbnail(item: Labelled) -> np.ndarray:
    if item.facts.get(features.SOURCE) == features.SYNTHETIC:
        return np.zeros((SIDE, SIDE), np.uint8)
    return thumbnail(reader.read_image(item.image, max_side=READ_SIDE).array)
