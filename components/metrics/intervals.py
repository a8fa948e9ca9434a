"""Whether a slice can be held to a demand, and the interval of a change between two models. Plain NumPy, no Beam."""

from __future__ import annotations

from math import isnan

import numpy as np
import numpy.typing as npt

from cxr.core.intervals import Interval, bootstrap_interval


def judged(value: float, patients: int, min_patients: int) -> bool:
    """Returns whether a slice can be held to a demand.

    Args:
      value: of the demanded figure there; NaN: not defined, as the recall of a class that the slice does not have.
      patients: on whom it rests.
      min_patients: of the demand.
    """
    return patients >= min_patients and not isnan(value)


def change_interval(ours: npt.ArrayLike, theirs: npt.ArrayLike, *, patients: int) -> Interval:
    """Returns the interval of a difference between two models, paired: both were measured on the same draws of patients.

    Args:
      ours: a figure of the one in each draw.
      theirs: of the other, in the same draws.
      patients: of the slice; see `bootstrap_interval`.
    """
    return bootstrap_interval(np.asarray(ours, np.float64) - np.asarray(theirs, np.float64), patients)
