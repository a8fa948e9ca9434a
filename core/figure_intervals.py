"""Which interval each figure has, and on how many patients it rests; the same for an Evaluator's slices, audits and cross-validation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cxr.core.intervals import Interval, bootstrap_interval, share_interval

# Attributes of `core.figures.Figures` that are shares of independent trials: of images, or, as an AUC is, of pairs of one image of a class
# and one of another (its variance is at most auc * (1 - auc) / patients of the smaller side: van Dantzig, 1951).
SHARES = ("accuracy", "balanced_accuracy", "recall", "precision", "auc")


def patients_behind(figure: str, class_id: int | None, patients: int, per_class: npt.ArrayLike) -> int:
    """Returns on how many patients a figure rests: of a class's figures not all of the slice's have a say.

    Args:
      figure: An attribute of `Figures`, or the name of another metric.
      class_id: None: of all classes.
      patients: Of the slice.
      per_class: int [2, classes], see `Answers.patients_per_class`.
    """
    labelled, predicted = np.asarray(per_class)
    present = labelled[labelled > 0]
    if figure == "balanced_accuracy":
        return int(len(present) * present.min(initial=patients))  # the rarest class decides
    if class_id is None:
        return patients
    if figure == "precision":
        return int(predicted[class_id])
    if figure == "auc":  # both sides of the curve; who has images of two classes counts on both
        return int(min(labelled[class_id], labelled.sum() - labelled[class_id]))
    return int(labelled[class_id])


def interval(figure: str, class_id: int | None, value: float, draws: npt.ArrayLike, *, patients: int, per_class: npt.ArrayLike) -> Interval:
    """Returns a figure's interval by bootstrap over patients; of a share by Wilson where the draws cannot tell.

    Args:
      figure: An attribute of `Figures`.
      class_id: None: of all classes.
      value: What was measured.
      draws: The figure in each draw of patients.
      patients: Of the slice.
      per_class: int [2, classes], see `Answers.patients_per_class`.

    Returns:
      NaN limits where there are too few patients, or where the figure is not defined.
    """
    if figure in SHARES:
        return share_interval(value, draws, patients_behind(figure, class_id, patients, per_class))
    return bootstrap_interval(draws, patients)
