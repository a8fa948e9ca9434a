"""Every metric of a slice by name, as plain numbers and arrays: what `classification` hands to TFMA, and what is read without it."""

from __future__ import annotations

from typing import Any

import numpy as np

from cxr.components.metrics import names
from cxr.components.metrics.figures import Figures, Floats
from cxr.components.metrics.tally import Results

Values = dict[tuple[str, int | None], Any]  # by metric and class; None: of all classes


def values_of(found: Results) -> Values:
    """Returns all of `names`: floats and ints, and the arrays that are described there."""
    figures = found.figures
    result: Values = {
        (names.EXAMPLE_COUNT, None): found.examples,
        (names.PATIENT_COUNT, None): found.patients,
        (names.INVALID_PREDICTIONS, None): found.invalid_predictions,
        (names.CONFUSION_MATRIX, None): found.confusion,
        (names.CALIBRATION_BINS, None): figures.calibration[0],
        (names.PATIENTS, None): found.patients_per_class,
        (names.DRAWS, None): np.concatenate([_columns(part) for part in found.draws or [figures]]).astype(np.float32),
    }
    for name in names.FIGURES:
        result[name, None] = float(getattr(figures, name)[0])
    for name in names.CLASS_FIGURES:
        for class_id, value in enumerate(getattr(figures, name)[0]):
            result[name, class_id] = float(value)
    for class_id, curve in enumerate(found.roc):
        result[names.ROC, class_id] = curve
    return result


def _columns(figures: Figures) -> Floats:
    """Returns the columns of names.DRAWS, [weightings, figures]."""
    single = [getattr(figures, name)[:, np.newaxis] for name in names.FIGURES]
    return np.concatenate([*single, *(getattr(figures, name) for name in names.CLASS_FIGURES)], axis=1)
