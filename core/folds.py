"""Which images are learnt from and which are asked about, fold by fold: patients stay together, classes are spread evenly."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedGroupKFold

from cxr.core.counts import how_many
from cxr.core.errors import UsageError

_MORE_DEALS = 20  # tried where the first is bad: few patients who have images of several classes can be dealt badly
Indices = npt.NDArray[np.int64]
Groups = npt.NDArray[np.str_] | npt.NDArray[np.int64]


@dataclass(frozen=True)
class Fold:
    """One fold.

    Attributes:
      name: "1", "2", …, or the source that is left out.
      train: int64, ascending positions of the images that are learnt from.
      test: int64, ascending positions of those that are asked about.
    """

    name: str
    train: Indices
    test: Indices


def most_folds(labels: Indices, groups: Groups) -> int:
    """Returns how many folds can be dealt so that each class stands in each: the groups of the class that has the fewest."""
    return min(len(np.unique(groups[labels == label])) for label in np.unique(labels))


def deal(labels: Indices, groups: Groups, folds: int, seed: int) -> list[Fold]:
    """Deals images into folds of about equal size and mix of classes, all images of a group into one.

    Args:
      labels: [images].
      groups: [images], the patient of each; or all different, to deal by image.
      folds: How many, at least two.
      seed: Of the deal.

    Returns:
      So many folds; each image is asked about in exactly one. In each all classes are learnt from, if one of a few deals does that.

    Raises:
      UsageError: A class has too few groups.
    """
    if (most := most_folds(labels, groups)) < folds:
        raise UsageError(f"--folds {folds}: one class has images of {how_many(most, 'patient')} only; take fewer folds, or add data")
    # Shuffled here: scikit-learn before 1.8 gives the groups each other's classes when it does it itself, and the mix is one of chance.
    _, numbers = np.unique(groups, return_inverse=True)
    rng = np.random.default_rng(seed)

    def dealt() -> list[Fold]:
        shuffled = rng.permutation(numbers.max() + 1)[numbers]
        parts = StratifiedGroupKFold(folds).split(np.zeros(len(labels)), labels, shuffled)
        return [Fold(str(number), train, test) for number, (train, test) in enumerate(parts, 1)]

    first = dealt()
    tried = itertools.chain([first], (dealt() for _ in range(_MORE_DEALS)))
    return next((one for one in tried if learn_all(labels, one)), first)


def learn_all(labels: Indices, folds: Iterable[Fold]) -> bool:
    """Tells whether each class is learnt from in every fold: a patient with images of several classes may take one along."""
    classes = len(np.unique(labels))
    return all(len(np.unique(labels[fold.train])) == classes for fold in folds)
