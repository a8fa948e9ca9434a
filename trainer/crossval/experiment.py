"""All folds of a cross-validation: by patient, by image, and with one source left out at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cxr.core.errors import CxrError
from cxr.core.folds import Fold, deal
from cxr.trainer.crossval.fold_run import FoldAnswers, run_fold
from cxr.trainer.crossval.folds import by_image, by_source
from cxr.trainer.crossval.subject import Subject
from cxr.trainer.splits import Split

BY_PATIENT, BY_IMAGE, WITHOUT_SOURCE = "by patient", "by image", "without {source}"


@dataclass(frozen=True)
class Scheme:
    """One way to deal the images.

    Attributes:
      name: `BY_PATIENT`, `BY_IMAGE`, or `WITHOUT_SOURCE` of one source.
      folds: What is learnt from and asked about.
      groups: [images], what a deal must not tear apart.
    """

    name: str
    folds: list[Fold]
    groups: npt.NDArray[np.str_]

    @property
    def asked(self) -> npt.NDArray[np.int64]:
        """Positions of all images that are asked about, ascending."""
        return np.sort(np.concatenate([fold.test for fold in self.folds]))


def deal_schemes(images: Split, folds: int, seed: int) -> tuple[list[Scheme], dict[str, str]]:
    """Deals the images in all ways.

    Args:
      images: What takes part.
      folds: How many, by patient and by image; also the patients of a class below which it is not learnt without a source.
      seed: Of the deals.

    Returns:
      The schemes, and the sources that could not be left out with the reason.

    Raises:
      UsageError: A class has too few patients for so many folds, or is missing.
    """
    singles = by_image(len(images))
    left_out, skipped = by_source(images.labels, images.patients, images.sources, folds)
    schemes = [
        Scheme(BY_PATIENT, deal(images.labels, images.patients, folds, seed), images.patients),
        *(Scheme(WITHOUT_SOURCE.format(source=fold.name), [fold], images.patients) for fold in left_out),
        Scheme(BY_IMAGE, deal(images.labels, singles, folds, seed), singles),
    ]
    return schemes, skipped


def run_schemes(
    subject: Subject,
    schemes: list[Scheme],
    seed: int,
    folder: Path,
    on_fold: Callable[[str, int, int], None] = lambda *_: None,
    on_member: Callable[[int, str], None] = lambda *_: None,
) -> Iterator[tuple[Scheme, Fold, FoldAnswers]]:
    """Yields every fold's answers as they come.

    Args:
      subject: What is cross-validated.
      schemes: Of `deal_schemes`.
      seed: Of the deals inside the folds.
      folder: Where finished folds are kept.
      on_fold: Called before each with what it is, its number (from 1), and how many there are.
      on_member: Called with the fold's number and the name of a model before it is trained, or read.

    Raises:
      CxrError: See `run_fold`; names the fold.
    """
    folds = list(titled(schemes))
    for number, (title, scheme, fold) in enumerate(folds, 1):
        on_fold(title, number, len(folds))
        with named(title):
            answers = run_fold(subject, fold, scheme.groups, seed, folder, partial(on_member, number))
        yield scheme, fold, answers


@contextmanager
def named(title: str) -> Iterator[None]:
    """Puts the fold's name before the errors of the block."""
    try:
        yield
    except CxrError as error:
        raise type(error)(f"{title}: {error}") from None


def titled(schemes: list[Scheme]) -> Iterator[tuple[str, Scheme, Fold]]:
    """Yields all folds in the order in which they are run, with what they are called."""
    for scheme in schemes:
        for fold in scheme.folds:
            yield scheme.name if len(scheme.folds) == 1 else f"{scheme.name}, fold {fold.name}", scheme, fold
