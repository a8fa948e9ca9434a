"""The 95 % interval of each figure of a slice, and on how many patients the figure rests. Plain NumPy, no Beam."""

from __future__ import annotations

from math import isnan

import numpy as np
import numpy.typing as npt

from cxr.components.metrics import names
from cxr.core.intervals import Interval, bootstrap_interval, share_interval

SHARES = (names.ACCURACY, names.BALANCED_ACCURACY, names.RECALL, names.PRECISION)


def patients_behind(figure: str, class_id: int | None, patients: int, per_class: npt.ArrayLike) -> int:
    """Returns on how many patients a figure rests: of a class's figures not all of the slice's have a say.

    Args:
      figure: a name of `names`, or that of another metric.
      class_id: None: of all classes.
      patients: of the slice.
      per_class: int [2, classes], names.PATIENTS.
    """
    labelled, predicted = np.asarray(per_class)
    present = labelled[labelled > 0]
    if figure == names.BALANCED_ACCURACY:
        return int(len(present) * present.min(initial=patients))  # the rarest class decides
    if class_id is None:
        return patients
    if figure == names.PRECISION:
        return int(predicted[class_id])
    if figure == names.AUC:  # both sides of the curve; who has images of two classes counts on both
        return int(min(labelled[class_id], labelled.sum() - labelled[class_id]))
    return int(labelled[class_id])


def judged(value: float, patients: int, min_patients: int) -> bool:
    """Returns whether a slice can be held to a demand.

    Args:
      value: of the demanded figure there; NaN: not defined, as the recall of a class that the slice does not have.
      patients: on whom it rests.
      min_patients: of the demand.
    """
    return patients >= min_patients and not isnan(value)


def interval(figure: str, class_id: int | None, value: float, draws: npt.ArrayLike, *, patients: int, per_class: npt.ArrayLike) -> Interval:
    """Returns a figure's interval by bootstrap over patients; of a share by Wilson where the draws cannot tell.

    Args:
      figure: a name of names.FIGURES or names.CLASS_FIGURES.
      class_id: None: of all classes.
      value: what was measured.
      draws: the figure in each draw of patients, a column of names.DRAWS.
      patients: of the slice.
      per_class: int [2, classes], names.PATIENTS.

    Returns:
      NaN limits where there are too few patients, or where the figure is not defined.
    """
    if figure in SHARES:
        return share_interval(value, draws, patients_behind(figure, class_id, patients, per_class))
    return bootstrap_interval(draws, patients)


def change_interval(ours: npt.ArrayLike, theirs: npt.ArrayLike, *, patients: int) -> Interval:
    """Returns the interval of a difference between two models, paired: both were measured on the same draws of patients.

    Args:
      ours: a figure of the one in each draw.
      theirs: of the other, in the same draws.
      patients: of the slice; see `bootstrap_interval`.
    """
    return bootstrap_interval(np.asarray(ours, np.float64) - np.asarray(theirs, np.float64), patients)
