"""The features of labelled images as a table, and small versions of the pictures: all that new and training data are compared by."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pandas as pd

from cxr.core import features
from cxr.core.machine import cores
from cxr.data.duplicates.find import near_duplicates
from cxr.data.duplicates.thumbnails import READ_SIDE, SIDE, Thumbnails, thumbnail
from cxr.data.images import reader
from cxr.pipeline.outside.images import Labelled, LabelledImages

SPLIT = "split"  # column of a table of several splits
Stage = Callable[[str, int], Callable[[int], None]]  # see `near_duplicates`
_AT_ONCE = 256


@dataclass(frozen=True)
class Gathered:
    """What is kept of a set of images.

    Attributes:
      table: One row per image: every raw feature but the picture, and OUTSIDE where a model said so of some.
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
      exact: Rows of those that are equal to the pixel.
      near: Rows of others that show the same radiograph; None: not looked for.
      other_label: Of both, how many stand there under another label; None: the new ones have none.
    """

    exact: frozenset[int]
    near: frozenset[int] | None
    other_label: int | None


def gather(data: LabelledImages, small: bool, name: str, stage: Stage) -> Gathered:
    """Reads all images of a set.

    Args:
      data: Not read yet.
      small: Whether thumbnails are wanted.
      name: Of the stage.
      stage: Is told that this begins and how many images it takes; what it returns is told how many more are done.

    Raises:
      CxrError: The data are damaged, or hold too much that is no image.
    """
    done = stage(name, data.total)
    facts, pictures = [], [np.zeros((0, SIDE, SIDE), np.uint8)]
    with ThreadPoolExecutor(cores()) as pool:
        while some := list(islice(data.images, _AT_ONCE)):
            facts += [item.facts if item.outside is None else {**item.facts, features.OUTSIDE: item.outside} for item in some]
            if small:
                pictures.append(np.stack(list(pool.map(_thumbnail, some))))
            done(len(some))
    return Gathered(pd.DataFrame(facts), np.concatenate(pictures) if small else None)


def copies(new: Gathered, training: Gathered, stage: Stage) -> Copies:
    """Finds the training pictures among new ones.

    Args:
      new: At least one image.
      training: The same.
      stage: See `near_duplicates`.
    """
    labels: dict[str, set[str]] = {}
    for key, label in zip(training.table[features.CONTENT_HASH], training.table[features.LABEL], strict=True):
        labels.setdefault(key, set()).add(label)
    known = {number: set(labels[key]) for number, key in enumerate(new.table[features.CONTENT_HASH]) if key in labels}
    exact, near = frozenset(known), None
    if new.thumbnails is not None and training.thumbnails is not None:
        theirs = training.table[features.LABEL].tolist()
        # Of pictures with the same thumbnail only the pairs with the first are given: with the training pictures first, none is missed.
        both = np.concatenate([training.thumbnails, new.thumbnails])
        for pair in near_duplicates(both, cores(), stage):
            if pair.first < len(theirs) <= pair.second:
                known.setdefault(pair.second - len(theirs), set()).add(theirs[pair.first])
        near = frozenset(known) - exact
    own = new.table[features.LABEL].tolist() if features.LABEL in new.table.columns else None
    return Copies(exact, near, None if own is None else sum(own[number] not in found for number, found in known.items()))


def _thumbnail(item: Labelled) -> np.ndarray:
    if item.facts.get(features.SOURCE) == features.SYNTHETIC:
        return np.zeros((SIDE, SIDE), np.uint8)
    return thumbnail(reader.read_image(item.image, max_side=READ_SIDE).array)
