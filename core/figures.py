"""Every metric of a set of answers, once or for many weightings of its examples at a time. Plain NumPy, no Beam.

A weighting says how often each example counts: ones give the metrics themselves, a bootstrap's draws (resampling.py) their spread.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

CALIBRATION_BINS = 15  # of the top probability, equally wide, as in Guo et al.
ROUNDING = 1e-9  # of a difference of two shares: 0.84 - 0.86 is -0.020000000000000018, and no drop of more than 0.02
LOG_LOSS_FLOOR = 1e-7  # probability below which log loss is cut off (Keras's epsilon)

Floats = npt.NDArray[np.float64]


def valid(probabilities: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """Tells which answers are probabilities: neither NaN nor infinite nor outside [0, 1].

    Args:
      probabilities: [examples, classes].

    Returns:
      bool [examples].
    """
    return np.all((probabilities >= 0) & (probabilities <= 1 + 1e-6), axis=1)  # False for NaN


@dataclass(frozen=True)
class Answers:
    """What a model answered, in an order that does not hang on the one in which it was asked.

    Attributes:
      patients: int64 [examples], from 0 on without a gap; whose image each is.
      labels: int64 [examples], index of the true class.
      probabilities: float64 [examples, classes].
    """

    patients: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    probabilities: Floats

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.probabilities.shape[1]

    @cached_property
    def valid(self) -> npt.NDArray[np.bool_]:
        """Which predictions are probabilities, see `valid`; bool [examples]."""
        return valid(self.probabilities)

    @cached_property
    def predicted(self) -> npt.NDArray[np.int64]:
        """Index of the most probable class; where the prediction is not valid the number of classes. int64 [examples]."""
        return np.where(self.valid, np.argmax(np.nan_to_num(self.probabilities), axis=1), self.classes)

    @property
    def patients_per_class(self) -> npt.NDArray[np.int64]:
        """int64 [2, classes]: patients with an image of the class, and with an image that is taken for it."""
        found = (self.labels, self.predicted)
        return np.array([[len(np.unique(self.patients[part == c])) for c in range(self.classes)] for part in found])


@dataclass(frozen=True)
class Figures:
    """Metrics, one value per weighting.

    Attributes:
      confusion: float64 [weightings, classes, classes + 1], rows are true classes, columns predicted ones (argmax); the last column
          counts predictions that are none.
      calibration: float64 [weightings, bins, 3], examples, sum of confidences and right answers per bin of confidence.
      negative_log_likelihood: float64 [weightings], sum over the examples with a valid prediction, nats.
      auc: float64 [weightings, classes], area under each class's one-vs-rest ROC curve; NaN where either side has no examples.
    """

    confusion: Floats
    calibration: Floats
    negative_log_likelihood: Floats
    auc: Floats

    @property
    def accuracy(self) -> Floats:
        """Share of right answers, [weightings]; an invalid prediction is a wrong one."""
        return _ratio(np.trace(self.confusion, axis1=1, axis2=2), self.confusion.sum(axis=(1, 2)))

    @property
    def recall(self) -> Floats:
        """[weightings, classes]; NaN for a class without examples."""
        return _ratio(np.diagonal(self.confusion, axis1=1, axis2=2), self.confusion.sum(axis=2))

    @property
    def precision(self) -> Floats:
        """[weightings, classes]; NaN for a class that is never predicted."""
        return _ratio(np.diagonal(self.confusion, axis1=1, axis2=2), self.confusion[:, :, :-1].sum(axis=1))

    @property
    def specificity(self) -> Floats:
        """Share of the other classes' examples that are taken for another class than this, [weightings, classes]; NaN where there are none.

        An invalid prediction is a wrong one here too.
        """
        valid = self.confusion[:, :, :-1]
        right = valid.sum(axis=(1, 2))[:, None] - valid.sum(axis=2) - valid.sum(axis=1) + np.diagonal(valid, axis1=1, axis2=2)
        return _ratio(right, self.confusion.sum(axis=(1, 2))[:, None] - self.confusion.sum(axis=2))

    @property
    def balanced_accuracy(self) -> Floats:
        """Mean recall of the classes that have examples (Brodersen et al. 2010; scikit-learn's balanced_accuracy_score), [weightings]."""
        present = ~np.isnan(self.recall)
        return _ratio(np.where(present, self.recall, 0).sum(axis=1), present.sum(axis=1).astype(np.float64))

    @property
    def log_loss(self) -> Floats:
        """Mean negative log likelihood of the true class over the valid predictions, nats, [weightings]."""
        return _ratio(self.negative_log_likelihood, self.confusion[:, :, :-1].sum(axis=(1, 2)))

    @property
    def calibration_error(self) -> Floats:
        """Expected calibration error over the valid predictions, [weightings].

        Mean |confidence - accuracy| over equally wide bins of the top probability, weighted by their examples:
        Guo et al., On Calibration of Modern Neural Networks, ICML 2017, equation 3.
        """
        return _ratio(np.abs(self.calibration[:, :, 1] - self.calibration[:, :, 2]).sum(axis=1), self.calibration[:, :, 0].sum(axis=1))


class Measure:
    """Measures one set of answers, as often as is wanted."""

    def __init__(self, answers: Answers, bins: int) -> None:
        """Does what all weightings share.

        Args:
          answers: Of one model to one slice.
          bins: Equally wide bins of the top probability.
        """
        self._answers = answers
        valid, classes = answers.valid, answers.classes
        cells = answers.labels * (classes + 1) + answers.predicted
        self._cells = np.eye(classes * (classes + 1))[cells]
        p, labels, predicted = answers.probabilities[valid], answers.labels[valid], answers.predicted[valid]
        rows = np.arange(len(p))
        confidence = np.minimum(p[rows, predicted], 1.0)
        self._in_bins = np.zeros((len(p), bins, 3))
        # bins are (low, high] as in Guo et al.
        bin_of = np.maximum(np.ceil(confidence * bins).astype(np.int64) - 1, 0)
        self._in_bins[rows, bin_of] = np.stack([np.ones(len(p)), confidence, predicted == labels], axis=1)
        self._losses = -np.log(np.maximum(p[rows, labels], LOG_LOSS_FLOOR))
        self._ranks = [_Ranks(p[:, index], labels == index) for index in range(classes)]

    def __call__(self, weights: Floats) -> Figures:
        """Returns the metrics where example i counts `weights[:, i]` times.

        Args:
          weights: float64 [weightings, examples].
        """
        classes, valid = self._answers.classes, weights[:, self._answers.valid]
        bins = self._in_bins.shape[1]
        return Figures(
            (weights @ self._cells).reshape(-1, classes, classes + 1),
            (valid @ self._in_bins.reshape(len(self._in_bins), bins * 3)).reshape(-1, bins, 3),
            valid @ self._losses,
            np.stack([ranks.auc(valid) for ranks in self._ranks], axis=1),
        )


class _Ranks:
    """Scores of one class in ascending order, in groups of equal ones."""

    def __init__(self, scores: Floats, own: npt.NDArray[np.bool_]) -> None:
        self._order = np.argsort(scores, kind="stable")
        ordered = scores[self._order]
        self._starts = np.flatnonzero(np.r_[True, np.diff(ordered) > 0][: len(ordered)])
        self._own = own[self._order]

    def auc(self, weights: Floats) -> Floats:
        """The Mann-Whitney statistic, ties count one half (Hanley and McNeil, Radiology 143, 1982), [weightings]."""
        if not len(self._order):
            return np.full(len(weights), np.nan)
        ordered = weights[:, self._order]
        own = np.add.reduceat(ordered * self._own, self._starts, axis=1)
        others = np.add.reduceat(ordered * ~self._own, self._starts, axis=1)
        below = np.cumsum(others, axis=1) - others
        return _ratio((own * (below + others / 2)).sum(axis=1), own.sum(axis=1) * others.sum(axis=1))


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    return np.divide(numerator, denominator, out=np.full(np.shape(numerator), np.nan), where=denominator > 0)
