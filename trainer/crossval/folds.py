"""Which images are learnt from and which are asked about, fold by fold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedGroupKFold

from cxr.core.errors import UsageError

MIN_SOURCE_IMAGES = 20  # a source with fewer says nothing: an interval as wide as the scale
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
      So many folds; each image is asked about in exactly one.

    Raises:
      UsageError: A class has too few groups.
    """
    if (most := most_folds(labels, groups)) < folds:
        raise UsageError(f"--folds {folds}: one class has images of {most} patients only; take fewer folds, or add data")
    # Shuffled here: scikit-learn before 1.8 gives the groups each other's classes when it does it itself, and the mix is one of chance.
    _, numbers = np.unique(groups, return_inverse=True)
    shuffled = np.random.default_rng(seed).permutation(numbers.max() + 1)[numbers]
    dealt = StratifiedGroupKFold(folds).split(np.zeros(len(labels)), labels, shuffled)
    return [Fold(str(number), train, test) for number, (train, test) in enumerate(dealt, 1)]


def by_image(images: int) -> npt.NDArray[np.str_]:
    """Returns groups for `deal` of one image each."""
    return np.arange(images).astype(np.str_)


def by_source(
    labels: Indices, patients: npt.NDArray[np.str_], sources: npt.NDArray[np.str_], least_patients: int
) -> tuple[list[Fold], dict[str, str]]:
    """Leaves one source out at a time.

    A class is learnt where the other sources have enough patients of it, and asked about where it was learnt. A patient with images in
    the source that is left out is not learnt from.

    Args:
      labels: [images].
      patients: [images].
      sources: [images].
      least_patients: Patients of a class in the other sources below which it is not learnt.

    Returns:
      The folds, and the sources that could not be left out with the reason.
    """
    folds: list[Fold] = []
    skipped: dict[str, str] = {}
    for source in np.unique(sources):
        own = sources == source
        rest = ~own & ~np.isin(patients, patients[own])
        known = [c for c in np.unique(labels[rest]) if len(np.unique(patients[rest & (labels == c)])) >= least_patients]
        asked = own & np.isin(labels, known)
        if len(known) < 2:
            skipped[str(source)] = f"the other sources have {len(known)} classes with {least_patients} or more patients"
        elif asked.sum() < MIN_SOURCE_IMAGES:
            skipped[str(source)] = f"{asked.sum()} images of classes that the other sources have, fewer than {MIN_SOURCE_IMAGES}"
        elif len(np.unique(labels[asked])) < 2:
            skipped[str(source)] = "its images of classes that the other sources have are all of one class"
        else:
            folds.append(Fold(str(source), np.flatnonzero(rest & np.isin(labels, known)), np.flatnonzero(asked)))
    return folds, skipped
