"""What a cross-validation says of the answers of one model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cxr.core.intervals import Figure
from cxr.core.measurement import Measurement
from cxr.core.strict_model import StrictModel

_SINGLE = ("accuracy", "balanced_accuracy", "log_loss", "calibration_error")
_PER_CLASS = ("recall", "precision", "auc")


class Measured(StrictModel):
    """How good the answers of one model to some images are; classes without images have figures without a value."""

    images: int
    patients: int
    accuracy: Figure
    balanced_accuracy: Figure
    log_loss: Figure
    calibration_error: Figure
    recall: dict[str, Figure]
    precision: dict[str, Figure]
    auc: dict[str, Figure]


def measurement_of(labels: npt.NDArray[np.int64], patients: npt.NDArray[np.str_], probabilities: npt.NDArray[np.float32]) -> Measurement:
    """Measures answers: labels [images], patients [images], probabilities [images, classes]."""
    return Measurement(np.unique(patients, return_inverse=True)[1], labels, probabilities)


def measured(found: Measurement, class_names: Sequence[str]) -> Measured:
    """Returns all figures with their intervals."""
    return Measured(
        images=found.images,
        patients=found.patients,
        **{name: found.figure(name) for name in _SINGLE},
        **{name: found.of_classes(name, class_names) for name in _PER_CLASS},
    )


def rounded(probabilities: npt.NDArray[np.float32]) -> list[list[float]]:
    """Returns probabilities for JSON, to six digits."""
    return [[round(float(p), 6) for p in row] for row in probabilities]
