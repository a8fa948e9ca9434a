"""What is cross-validated, and what of it learns in one fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr.core.errors import CxrError
from cxr.core.folds import Fold, Indices, deal, most_folds
from cxr.core.stored_rows import Array
from cxr.trainer.ensemble.fitting_data import FITTED
from cxr.trainer.model_config import Ensemble, Model
from cxr.trainer.splits import Split
from cxr.trainer.transform_graph import TransformGraph

STOPPING_PARTS = 6  # one of so many parts stops the training early: about the share that a validation split has


@dataclass(frozen=True)
class Material:
    """What the training of whole networks needs beside features.

    Attributes:
      images: All that take part.
      transform: Decodes them.
      statistics: Name to the batch statistics that its features were made with (`FrozenBackbone.statistics`).
    """

    images: Split
    transform: TransformGraph
    statistics: Mapping[str, Sequence[Array]]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is cross-validated.

    Attributes:
      models: Name to configuration.
      ensemble: How they are joined; None: they are not.
      classes: How many.
      tables: Name to features of the frozen backbone, float32 [1 + variants, images, width].
      labels: int64 [images].
      sources: [images], the collections that they come from.
      keys: Name to the name of its features (`FrozenBackbone.name_of`).
      code: Version of what trains and joins.
      material: For models whose backbone learns too; None: there are none.
    """

    models: Mapping[str, Model]
    ensemble: Ensemble | None
    classes: int
    tables: Mapping[str, Array]
    labels: Indices
    sources: npt.NDArray[np.str_]
    keys: Mapping[str, str]
    code: str
    material: Material | None = None

    @property
    def networks(self) -> tuple[str, ...]:
        """Names of the models whose backbone learns too: each fold trains them whole."""
        return tuple(name for name, model in self.models.items() if model.fine_tuning is not None)

    @property
    def halves(self) -> bool:
        """Whether one half of what stops the training fits the ensemble's weights, and the other half chooses (fitting_data.py)."""
        joined = self.ensemble
        return joined is not None and joined.method in FITTED and joined.fitted_on == "out_of_fold" and bool(self.networks)

    def inner_folds(self, part: Part, seed: int) -> list[Fold]:
        """Deals what is learnt from once more, for the out-of-fold answers that fit the ensemble's weights; [] where none do."""
        if self.ensemble is None or self.ensemble.fitted_on == "training" or self.networks:
            return []
        labels, groups = part.labels[part.train], part.groups[part.train]
        return deal(labels, groups, min(self.ensemble.folds, _at_least_two(most_folds(labels, groups))), seed)


@dataclass(frozen=True)
class Part:
    """Which images of one fold do what. Positions among all images.

    Attributes:
      known: Classes that are learnt: those of the fold's training part.
      labels: [images], positions in `known`; of classes that are not known without a meaning.
      groups: [images], what a deal must not tear apart.
      train: What is learnt from.
      stop: What stops the training early and chooses: as a validation split does.
      test: What is asked about.
    """

    known: Indices
    labels: Indices
    groups: npt.NDArray[np.str_]
    train: Indices
    stop: Indices
    test: Indices

    @property
    def rest(self) -> Indices:
        """The fold's whole training part."""
        return np.sort(np.concatenate([self.train, self.stop]))

    def spread(self, shares: Array, classes: int) -> Array:
        """Returns answers, [images, classes known], among all classes, [images, classes]; 0 for those that are not known."""
        result = np.zeros([len(shares), classes], np.float32)
        result[:, self.known] = shares
        return result


def part_of(labels: Indices, fold: Fold, groups: npt.NDArray[np.str_], seed: int, *, halves: bool = False) -> Part:
    """Deals a fold's training part: a sixth of it stops the training, or more where a class has few patients.

    Args:
      labels: [images], of all.
      fold: Which of them are learnt from, and which are asked about.
      groups: [images], what a deal must not tear apart.
      seed: Of the deal.
      halves: Whether what stops the training is halved by patient later.

    Raises:
      CxrError: A class has one patient there, or that part cannot be halved by patient, and has to be.
    """
    known = np.unique(labels[fold.train])
    own = np.searchsorted(known, labels)
    rest = fold.train
    patients = _at_least_two(most_folds(own[rest], groups[rest]))
    parts = min(STOPPING_PARTS, max(2, patients // 2) if halves else patients)
    first = deal(own[rest], groups[rest], parts, seed)[0]
    stop = rest[first.test]
    if halves and most_folds(own[stop], groups[stop]) < 2:
        raise CxrError(
            f"a class has {patients} patients, too few for one half of the part that stops the training to fit the ensemble's weights; add "
            "data, leave the ensemble out (ensemble=null), or choose ensemble.method=soft or hard, or ensemble.fitted_on=training"
        )
    return Part(known, own, groups, rest[first.train], stop, fold.test)


def _at_least_two(patients: int) -> int:
    """Returns how many patients the class with the fewest has, where they can be dealt at all."""
    if patients < 2:
        raise CxrError("a class has one patient only among those that a fold learns from; add data, or take more folds (--folds)")
    return patients
