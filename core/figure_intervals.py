"""Which interval each figure has, and on how many patients it rests; the same for an Evaluator's slices, audits and cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy as np
import numpy.typing as npt

from cxr.core.figure_table import BALANCED_ACCURACY, RECALL, Behind, row_of
from cxr.core.intervals import MIN_PATIENTS, Interval, bootstrap_interval, share_interval
from cxr.core.paired_intervals import paired_interval
from cxr.core.support import Support


@dataclass(frozen=True)
class Recalls:
    """Of all classes, float64: `values` [classes], NaN for a class without images, and `draws` [draws of patients, classes]."""

    values: npt.NDArray[np.float64]
    draws: npt.NDArray[np.float64]

    def intervals(self, support: Support) -> list[Interval]:
        """Returns each one's."""
        quantiles = [support.quantile(RECALL, class_id) for class_id in range(len(self.values))]
        found = zip(self.values.tolist(), self.draws.T, support.per_class[0].tolist(), quantiles, strict=True)
        return [share_interval(*of_class) for of_class in found]


def patients_behind(figure: str, class_id: int | None, patients: int, per_class: npt.ArrayLike) -> int:
    """Returns on how many patients a figure rests.

    Args:
      figure: A name of `figure_table`.
      class_id: None: of all classes.
      patients: Of the slice.
      per_class: int [2, classes], see `Answers.patients_per_class`.

    Raises:
      ValueError: There is no such figure, or it is of one class and none is given, or the other way round.
    """
    found = row_of(figure)
    if found.of_class != (class_id is not None):
        raise ValueError(f"{figure} is of {'one class, and none is' if found.of_class else 'all classes, and one is'} given")
    return counted(found.behind, class_id, patients, per_class)


def counted(behind: Behind, class_id: int | None, patients: int, per_class: npt.ArrayLike) -> int:
    """Counts those patients of a slice.

    Args:
      behind: Who counts.
      class_id: Of whose class is spoken; None for what is of all classes.
      patients: Of the slice.
      per_class: int [2, classes], see `Answers.patients_per_class`.
    """
    labelled, predicted = np.asarray(per_class)
    if behind is Behind.EVERYBODY:
        return patients
    if behind is Behind.RAREST_CLASS:
        present = labelled[labelled > 0]
        return min(patients, int(len(present) * present.min(initial=patients)))  # who has images of two classes counts once
    if class_id is None:
        raise ValueError(f"{behind.value}: of which class?")
    own, others = int(labelled[class_id]), min(patients, int(labelled.sum() - labelled[class_id]))  # of two other classes: once at most
    match behind:
        case Behind.OWN:
            return own
        case Behind.TAKEN_FOR_IT:
            return int(predicted[class_id])
        case Behind.OTHERS:
            return others
        case Behind.SMALLER_SIDE:  # who has images of two classes counts on both
            return min(own, others)
    assert_never(behind)


def interval(
    figure: str,
    class_id: int | None,
    value: float,
    draws: npt.ArrayLike,
    support: Support,
    recalls: Recalls | None = None,
) -> Interval:
    """Returns a figure's interval by bootstrap over patients; of a share Wilson's, on as many trials as the draws show.

    Args:
      figure: A name of `figure_table`.
      class_id: None: of all classes.
      value: What was measured.
      draws: The figure in each draw of patients.
      support: On whom the slice's figures rest.
      recalls: What a balanced accuracy is the mean of, which its interval is made of.

    Returns:
      NaN limits where there are too few patients, or where the figure is not defined.

    Raises:
      ValueError: As `patients_behind`.
    """
    behind, z = patients_behind(figure, class_id, support.patients, support.per_class), support.quantile(figure, class_id)
    if figure == BALANCED_ACCURACY:
        if recalls is None:
            raise ValueError("the interval of a balanced accuracy is made of the recalls'")
        together = _correlations(recalls.draws, support.per_class[0], support.patients)
        return _of_mean(recalls.intervals(support), recalls.values, together)
    return share_interval(value, draws, behind, z) if row_of(figure).share else bootstrap_interval(draws, support.patients, z)


def _correlations(draws: npt.NDArray[np.float64], labelled: npt.NDArray[np.int64], patients: int) -> npt.NDArray[np.float64]:
    """Returns how recalls vary together, [classes, classes]: not at all, unless patients have images of several classes.

    Args:
      draws: Recalls in each draw of patients, [draws, classes].
      labelled: Patients with an image of each class, [classes].
      patients: All.
    """
    classes = len(labelled)
    if labelled.sum() <= patients:
        return np.eye(classes)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.ma.corrcoef(np.ma.masked_invalid(draws), rowvar=False).filled(np.nan).reshape(classes, classes)
        # Of a class whose draws are all alike nothing can be seen: as much as they may have in common.
        shared = np.minimum(np.minimum.outer(labelled, labelled), labelled.sum() - patients)
        most = shared / np.sqrt(np.multiply.outer(labelled, labelled))
    return np.where(np.eye(classes, dtype=bool), 1.0, np.nan_to_num(np.where(np.isnan(found), most, found)))


def _of_mean(intervals: Sequence[Interval], values: npt.ArrayLike, together: npt.NDArray[np.float64]) -> Interval:
    """Returns the interval of the mean of estimates from theirs (MOVER: Zou and Donner, Statistics in Medicine 27, 2008; of estimates that
    vary together: Zou, Psychological Methods 12, 2007).

    Unlike the draws it knows how little a class of few patients says, whose draws are few and hence alike.

    Args:
      intervals: Of each estimate; NaN limits where it is not defined.
      values: The estimates.
      together: Their correlations, [estimates, estimates].
    """
    found = np.array([[value - ends.low, ends.high - value, value] for ends, value in zip(intervals, np.asarray(values), strict=True)])
    defined = ~np.isnan(found).any(axis=1)
    found, together = found[defined], together[np.ix_(defined, defined)]
    if not len(found):
        return Interval(np.nan, np.nan)
    below, above = (float(np.sqrt(max(reach @ together @ reach, 0.0))) / len(found) for reach in found[:, :2].T)
    mean = found[:, 2].mean()
    return Interval(float(max(mean - below, 0.0)), float(min(mean + above, 1.0)))


def difference_interval(figure: str, class_id: int | None, difference: float, draws: npt.ArrayLike, support: Support) -> Interval:
    """Returns the interval of the difference between two models in a figure, both measured on the same patients.

    Args:
      figure: A name of `figure_table`.
      class_id: None: of all classes.
      difference: What was measured, the one less the other.
      draws: The same in each draw of patients.
      support: On whom both models' figures rest, see `Support.of_both`.

    Returns:
      NaN limits where there are too few patients, or where the figure is not defined.

    Raises:
      ValueError: As `patients_behind`.
    """
    row, patients, z = row_of(figure), support.patients, support.quantile(figure, class_id)
    # Of a difference between two AUCs, which are shares of pairs, no such thing is known; its draws are seldom all alike.
    if row.share and row.behind is not Behind.SMALLER_SIDE and patients >= MIN_PATIENTS:
        return paired_interval(difference, draws, patients_behind(figure, class_id, patients, support.per_class), z)
    return bootstrap_interval(draws, patients, z)
