"""All folds of a cross-validation: by patient, by image, and with one source left out at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cxr.core.errors import CxrError, UsageError
from cxr.core.folds import Fold, deal
from cxr.trainer.crossval.fold_run import FoldAnswers, Subject, run_fold
from cxr.trainer.crossval.folds import by_image, by_source
from cxr.trainer.inputs import Split
from cxr.trainer.model_config import Model

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


def check_models(models: dict[str, Model]) -> None:
    """Refuses what would need each network trained anew in every fold.

    Raises:
      UsageError: A backbone learns too; says what can be done.
    """
    for name, model in models.items():
        if model.head_training is None:
            raise UsageError(
                f"models.{name}.head_training: null: the whole network is trained, which every fold would have to do anew; set "
                f"models.{name}.head_training={{}} models.{name}.fine_tuning=null to cross-validate a head on its frozen backbone"
            )
        if model.fine_tuning is not None:
            raise UsageError(
                f"models.{name}.fine_tuning: the backbone learns too, which every fold would have to do anew; set "
                "defaults.fine_tuning=null to cross-validate the heads on the frozen backbones"
            )


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
    subject: Subject, schemes: list[Scheme], seed: int, folder: Path | None, on_fold: Callable[[str, int, int], None] = lambda *_: None
) -> Iterator[tuple[Scheme, Fold, FoldAnswers]]:
    """Yields every fold's answers as they come.

    Args:
      subject: What is cross-validated.
      schemes: Of `deal_schemes`.
      seed: Of the deals inside the folds.
      folder: Where finished folds are kept; None: nowhere.
      on_fold: Called before each with what it is, its number (from 1), and how many there are.

    Raises:
      CxrError: See `run_fold`; names the fold.
    """
    total = sum(len(scheme.folds) for scheme in schemes)
    number = 0
    for scheme in schemes:
        for fold in scheme.folds:
            number += 1
            title = scheme.name if len(scheme.folds) == 1 else f"{scheme.name}, fold {fold.name}"
            on_fold(title, number, total)
            try:
                answers = run_fold(subject, fold, scheme.groups, seed, folder)
            except CxrError as error:
                raise type(error)(f"{title}: {error}") from None
            yield scheme, fold, answers
