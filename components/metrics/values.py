"""Every metric of a slice by name, as plain numbers and arrays: what `classification` hands to TFMA, and what is read without it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cxr.components.metrics import names
from cxr.components.metrics.tally import Results
from cxr.core.figure_intervals import Recalls, interval
from cxr.core.figures import Figures, Floats
from cxr.core.support import Support


def values_of(found: Results) -> names.Values:
    """Returns all of `names` that one model has in a slice: floats and ints, and the arrays that are described there."""
    figures = found.figures
    draws = np.concatenate([_columns(part) for part in found.draws or [figures]])
    support = found.support
    result: dict[tuple[str, int | None], Any] = {
        (names.EXAMPLE_COUNT, None): found.examples,
        (names.PATIENT_COUNT, None): support.patients,
        (names.INVALID_PREDICTIONS, None): found.invalid_predictions,
        (names.CONFUSION_MATRIX, None): found.confusion,
        (names.CALIBRATION_BINS, None): figures.calibration[0],
        (names.PATIENTS, None): support.per_class,
        (names.QUANTILES, None): support.quantiles,
        (names.DRAWS, None): draws.astype(np.float32),
    }
    values = _columns(figures)[0]
    recalls = Recalls(figures.recall[0], np.concatenate([part.recall for part in found.draws or [figures]]))
    for column, (name, class_id) in enumerate(names.columns(figures.confusion.shape[1])):
        value = float(values[column])
        ends = interval(name, class_id, value, draws[:, column], support, recalls)
        result[name, class_id] = value
        result[names.end(name, names.LOWER), class_id] = ends.low
        result[names.end(name, names.UPPER), class_id] = ends.high
    for class_id, curve in enumerate(found.roc):
        result[names.ROC, class_id] = curve
    return result


def _columns(figures: Figures) -> Floats:
    """Returns the figures in the order of names.columns, [weightings, figures]."""
    single = [getattr(figures, name)[:, np.newaxis] for name in names.FIGURES]
    return np.concatenate([*single, *(getattr(figures, name) for name in names.CLASS_FIGURES)], axis=1)


def support_of(patients: float, per_class: npt.ArrayLike, quantiles: npt.ArrayLike) -> Support:
    """Returns on whom a slice's figures rest, from what `values_of` gave `names.SUPPORT`."""
    return Support(int(patients), np.asarray(per_class), np.asarray(quantiles))
