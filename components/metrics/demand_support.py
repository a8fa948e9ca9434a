"""On whom a demand of the gate rests, and whether a slice can be held to it: one rule for the metric and for the verdict."""

from __future__ import annotations

from math import isnan

import numpy.typing as npt

from cxr.components.metrics import names
from cxr.core.figure_intervals import counted, patients_behind
from cxr.core.figure_table import Behind


def patients_of_demand(metric: str, class_id: int | None, patients: int, per_class: npt.ArrayLike) -> int:
    """Returns on how many patients a demanded metric rests.

    Args:
      metric: A figure, or a metric that `gate.metrics` adds (pipeline/gate.py takes no other): that rests on all patients, or, with a value
          for each class, on those with an image of the class.
      class_id: None: of all classes.
      patients: Of the slice.
      per_class: int [2, classes], see `Answers.patients_per_class`.
    """
    if metric in names.ALL_FIGURES:
        return patients_behind(metric, class_id, patients, per_class)
    return counted(Behind.EVERYBODY if class_id is None else Behind.OWN, class_id, patients, per_class)


def judged(value: float, patients: int, min_patients: int) -> bool:
    """Returns whether a slice can be held to a demand.

    Args:
      value: of the demanded figure there; NaN: not defined, as the recall of a class that the slice does not have.
      patients: on whom it rests.
      min_patients: of the demand.
    """
    return patients >= min_patients and not isnan(value)
