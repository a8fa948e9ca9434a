"""What is kept of one slice's examples while Beam passes over them, and every metric that follows. Plain NumPy, no Beam."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from cxr.core.figures import Answers, Figures, Floats, Measure
from cxr.core.resampling import patient_key, resampled
from cxr.core.support import Support

# The ROC curve's thresholds are evenly spaced in the logit: a saturated softmax keeps its resolution there.
ROC_LIMIT = 17  # of |logit|; that of a float32 probability other than 0 and 1 can pass it towards 0 only
ROC_POINTS = 69


@dataclass
class Tally:
    """Answers of one model to a slice's examples, packed: 12 bytes and 4 for each class per example. Mergeable.

    Attributes:
      classes: number of classes.
      bins: equally wide bins of the top probability.
    """

    classes: int
    bins: int
    _patients: array[int] = field(default_factory=lambda: array("q"))
    _labels: array[int] = field(default_factory=lambda: array("i"))
    _probabilities: array[float] = field(default_factory=lambda: array("f"))

    def add(self, true_class: int, probabilities: np.ndarray, patient: bytes) -> None:
        """Adds one example.

        Args:
          true_class: index of the true class.
          probabilities: float [classes].
          patient: pseudonym.

        Raises:
          ValueError: if the number of probabilities is not the number of classes.
        """
        if probabilities.shape != (self.classes,):
            raise ValueError(
                f"probabilities have shape {probabilities.shape}, expected ({self.classes},): does the model know these classes?"
            )
        self._patients.append(patient_key(patient))
        self._labels.append(true_class)
        self._probabilities.extend(probabilities.astype(np.float32).tolist())

    def merge(self, other: Tally) -> None:
        """Adds another tally's examples."""
        self._patients += other._patients
        self._labels += other._labels
        self._probabilities += other._probabilities

    def results(self) -> Results:
        """Returns what follows from the examples so far, whatever order they came in."""
        patients, labels = np.array(self._patients, np.int64), np.array(self._labels, np.int64)
        probabilities = np.array(self._probabilities, np.float64).reshape(-1, self.classes)
        order = np.lexsort((*probabilities.T, labels, patients))
        _, index = np.unique(patients[order], return_inverse=True)
        return Results(Answers(index, labels[order], probabilities[order]), self.bins)


class Results:
    """Metrics of one slice."""

    def __init__(self, answers: Answers, bins: int) -> None:
        """Measures nothing yet but the whole.

        Args:
          answers: of one model to a slice.
          bins: equally wide bins of the top probability.
        """
        self._answers = answers
        self._measure = Measure(answers, bins)
        self.figures: Figures = self._measure(np.ones((1, len(answers.labels))))  # of one weighting

    @property
    def examples(self) -> int:
        """All examples, those with an invalid prediction too."""
        return len(self._answers.labels)

    @property
    def support(self) -> Support:
        """On whom the figures rest."""
        return Support.of(self._answers)

    @property
    def invalid_predictions(self) -> int:
        """Examples whose prediction is no vector of probabilities."""
        return int(np.sum(~self._answers.valid))

    @property
    def confusion(self) -> np.ndarray:
        """int64 [classes, classes + 1]; see `Figures`."""
        return self.figures.confusion[0].round().astype(np.int64)

    @cached_property
    def draws(self) -> list[Figures]:
        """The same for draws of patients; see resampling.py."""
        return list(resampled(self._answers, self._measure))

    @property
    def roc(self) -> Floats:
        """Each class's one-vs-rest ROC curve, float64 [classes, thresholds, 3]: threshold, false and true positive rate.

        The thresholds are the same for all tallies, from the lowest (everything is positive) to the highest (nothing is); a rate is NaN
        where its side has no examples.
        """
        thresholds = 1 / (1 + np.exp(-np.linspace(-ROC_LIMIT, ROC_LIMIT, ROC_POINTS)))
        bounds = np.r_[-np.inf, thresholds[1:-1], np.inf]
        labels, scores = self._answers.labels[self._answers.valid], self._answers.probabilities[self._answers.valid]
        curves = []
        for index in range(self._answers.classes):
            rates = []
            for side in (scores[labels != index, index], scores[labels == index, index]):
                reached = len(side) - np.searchsorted(np.sort(side), bounds, side="left")
                rates.append(reached / len(side) if len(side) else np.full(len(bounds), np.nan))
            curves.append(np.stack([thresholds, *rates], axis=-1))
        return np.stack(curves)
