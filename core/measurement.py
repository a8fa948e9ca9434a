"""The figures of one model's answers, with 95 % intervals by bootstrap over patients; two models' figures are compared in pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cxr.core.figure_intervals import Recalls, difference_interval, interval
from cxr.core.figures import CALIBRATION_BINS, Answers, Floats, Measure
from cxr.core.intervals import Figure
from cxr.core.resampling import resampled
from cxr.core.support import Support


class Measurement:
    """Measures, and keeps the draws of patients."""

    def __init__(
        self,
        patients: npt.NDArray[np.int64],
        labels: npt.NDArray[np.int64],
        probabilities: npt.NDArray[np.floating],
        bins: int = CALIBRATION_BINS,
    ) -> None:
        """Measures and draws.

        Args:
          patients: [images], whose image each is, from 0 on without a gap.
          labels: [images], indexes of classes.
          probabilities: [images, classes].
          bins: Of the calibration error.

        Raises:
          ValueError: An array is of another kind or shape, a label is no class, or the patients' numbers have a gap.
        """
        _check(patients, labels, probabilities)
        self._answers = Answers(patients, labels, probabilities.astype(np.float64))
        measure = Measure(self._answers, bins)
        self._whole = measure(np.ones((1, len(labels))))
        self._drawn = list(resampled(self._answers, measure))
        self._support = Support.of(self._answers)
        self.images = len(labels)
        self.patients = self._support.patients

    def figure(self, name: str) -> Figure:
        """Returns the figure of all classes that is called so in `Figures`."""
        return self._with_interval(name, None, float(getattr(self._whole, name)[0]), self.draws(name))

    def of_classes(self, name: str, class_names: Sequence[str]) -> dict[str, Figure]:
        """Returns such a figure of each class, one against the rest; of a class without images it has no value."""
        values, draws = getattr(self._whole, name)[0], self.draws(name)
        return {label: self._with_interval(name, k, float(values[k]), draws[:, k]) for k, label in enumerate(class_names)}

    def above(self, other: Measurement, name: str) -> Figure:
        """Returns by how much a figure of all classes is above that of others' answers to the same images; the draws are paired.

        Raises:
          ValueError: They are answers to other images.
        """
        if not np.array_equal(self._answers.patients, other._answers.patients):
            raise ValueError("a paired difference needs answers to the same images in the same order")
        difference = float(getattr(self._whole, name)[0] - getattr(other._whole, name)[0])
        support = Support.of_both(self._support, other._support)
        return Figure.of(difference, difference_interval(name, None, difference, self.draws(name) - other.draws(name), support))

    def draws(self, name: str) -> Floats:
        """Returns a figure in each draw of patients, [draws] or [draws, classes]."""
        return np.concatenate([getattr(part, name) for part in self._drawn])

    def _with_interval(self, name: str, class_id: int | None, value: float, draws: Floats) -> Figure:
        recalls = Recalls(self._whole.recall[0], self.draws("recall"))
        return Figure.of(value, interval(name, class_id, value, draws, self._support, recalls))


def _check(patients: npt.NDArray[np.int64], labels: npt.NDArray[np.int64], probabilities: npt.NDArray[np.floating]) -> None:
    if probabilities.ndim != 2 or probabilities.dtype.kind not in "fiu":
        raise ValueError(f"probabilities must be numbers [images, classes], not {probabilities.dtype} {list(probabilities.shape)}")
    images, classes = probabilities.shape
    for name, numbers in (("patients", patients), ("labels", labels)):
        if numbers.shape != (images,) or numbers.dtype.kind not in "iu":
            raise ValueError(
                f"{name} must be whole numbers [{images}], as there are probabilities, not {numbers.dtype} {list(numbers.shape)}"
            )
    if images and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"labels must be from 0 to {classes - 1}, the number of a class; found {labels.min()} to {labels.max()}")
    if images and (patients.min() < 0 or patients.max() >= images or not np.bincount(patients).all()):
        raise ValueError("patients must be numbered from 0 on without a gap: core.resampling.patient_numbers numbers them so")
