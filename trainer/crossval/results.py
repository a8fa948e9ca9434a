"""Figures of answers that were given out of fold, with 95 % intervals by bootstrap over patients."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr.core.figures import Answers, Figures, Floats, Measure
from cxr.core.intervals import Interval, bootstrap_interval, share_interval
from cxr.core.resampling import resampled
from cxr.core.strict_model import StrictModel

CALIBRATION_BINS = 15
_SHARES = ("accuracy", "balanced_accuracy")


class Figure(StrictModel):
    """One figure with its interval; null where it is not defined."""

    value: float | None
    low: float | None
    high: float | None

    def __str__(self) -> str:
        """As tables show it."""
        if self.value is None:
            return "–"
        return f"{self.value:.3f}" + (f" ({self.low:.3f} to {self.high:.3f})" if self.low is not None else "")


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


class Measurement:
    """Measures the answers of one model; keeps the draws, so that two of the same images can be compared in pairs."""

    def __init__(self, labels: npt.NDArray[np.int64], patients: npt.NDArray[np.str_], probabilities: npt.NDArray[np.float32]) -> None:
        """Measures and draws.

        Args:
          labels: [images].
          patients: [images], whom intervals are drawn over.
          probabilities: [images, classes].
        """
        numbers = np.unique(patients, return_inverse=True)[1]
        self._answers = Answers(numbers, labels, probabilities.astype(np.float64))
        measure = Measure(self._answers, CALIBRATION_BINS)
        self._whole = measure(np.ones((1, len(labels))))
        self._draws: list[Figures] = list(resampled(self._answers, measure))

    def measured(self, class_names: Sequence[str]) -> Measured:
        """Returns all figures with their intervals."""
        patients = len(np.unique(self._answers.patients))

        def single(name: str) -> Figure:
            value, draws = float(getattr(self._whole, name)[0]), self._column(name)
            return _figure(value, share_interval(value, draws, patients) if name in _SHARES else bootstrap_interval(draws))

        def per_class(name: str) -> dict[str, Figure]:
            draws = self._column(name)
            values = getattr(self._whole, name)[0]
            return {label: _figure(float(values[i]), bootstrap_interval(draws[:, i])) for i, label in enumerate(class_names)}

        return Measured(
            images=len(self._answers.labels),
            patients=patients,
            **{name: single(name) for name in ("accuracy", "balanced_accuracy", "log_loss", "calibration_error")},
            **{name: per_class(name) for name in ("recall", "precision", "auc")},
        )

    def accuracy_above(self, other: Measurement) -> Figure:
        """Returns by how much these answers are more often right than others to the same images; the draws are paired.

        Raises:
          ValueError: They are answers to other images.
        """
        if not np.array_equal(self._answers.patients, other._answers.patients):
            raise ValueError("a paired difference needs answers to the same images in the same order")
        difference = float(self._whole.accuracy[0] - other._whole.accuracy[0])
        return _figure(difference, bootstrap_interval(self._column("accuracy") - other._column("accuracy")))

    def _column(self, name: str) -> Floats:
        return np.concatenate([getattr(part, name) for part in self._draws])


def image_names(content_hash: npt.NDArray[np.str_]) -> list[str]:
    """Returns names of images, hex: the same eight bytes that `training_data.image_keys` keeps, in the order given.

    Nobody can get a picture, a patient or a path from them; who has a picture can find its answer.
    """
    return [hashlib.blake2b(str(value).encode(), digest_size=8).hexdigest() for value in content_hash]


def rounded(probabilities: npt.NDArray[np.float32]) -> list[list[float]]:
    """Returns probabilities for JSON, to six digits."""
    return [[round(float(p), 6) for p in row] for row in probabilities]


def _figure(value: float, interval: Interval) -> Figure:
    def defined(number: float) -> float | None:
        return round(number, 6) if np.isfinite(number) else None

    return Figure(value=defined(value), low=defined(interval.low), high=defined(interval.high))


def jsonable(measured: Measured) -> dict[str, Any]:
    """Returns the figures as JSON takes them."""
    return measured.model_dump(mode="json")
