"""What one slice's predictions add up to, and every metric that follows from it. Plain NumPy, no Beam."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

LOG_LOSS_FLOOR = 1e-7  # probability below which log loss is cut off (Keras's epsilon)

# AUC depends on the order of the scores only, so they are binned by their logit: a saturated softmax keeps its resolution
# there, and 64 bins per unit leave few ties. |logit| of a float32 probability other than 0 and 1 can pass 17 towards 0 only.
SCORE_LIMIT = 17
SCORE_BINS_PER_UNIT = 64
SCORE_BINS = 2 * SCORE_LIMIT * SCORE_BINS_PER_UNIT
ROC_STEP = 32  # bins between two points of a ROC curve: 69 points, enough to draw it


@dataclass
class Tally:
    """Mergeable sums over a slice's examples; its size does not grow with their number.

    Attributes:
        confusion: int64 [classes, classes + 1], rows are true classes, columns predicted ones (argmax); the last column counts
            predictions that are none: NaN, infinity or a value outside [0, 1].
        calibration: float64 [bins, 3], examples, sum of confidences and right answers per bin of confidence.
        negative_log_likelihood: sum over the examples with a valid prediction, nats.
        scores: examples per (class, is it the true class, bin of the class's score).
    """

    confusion: np.ndarray
    calibration: np.ndarray
    negative_log_likelihood: float = 0.0
    scores: Counter[tuple[int, bool, int]] = field(default_factory=Counter)

    @classmethod
    def empty(cls, classes: int, bins: int) -> Tally:
        """Returns the sums over no examples."""
        return cls(np.zeros((classes, classes + 1), np.int64), np.zeros((bins, 3)))

    def add(self, true_class: int, probabilities: np.ndarray) -> None:
        """Adds one example.

        Args:
            true_class: index of the true class.
            probabilities: float [classes].

        Raises:
            ValueError: if the number of probabilities is not the number of classes.
        """
        classes, bins = len(self.confusion), len(self.calibration)
        if probabilities.shape != (classes,):
            raise ValueError(f"probabilities have shape {probabilities.shape}, expected ({classes},): does the model know these classes?")
        p = probabilities.astype(np.float64)
        if not np.all((p >= 0) & (p <= 1 + 1e-6)):  # False for NaN
            self.confusion[true_class, -1] += 1
            return
        predicted = int(np.argmax(p))
        self.confusion[true_class, predicted] += 1
        confidence = min(p[predicted], 1.0)
        # bins are (low, high] as in Guo et al.
        self.calibration[max(int(np.ceil(confidence * bins)) - 1, 0)] += (1, confidence, predicted == true_class)
        self.negative_log_likelihood -= float(np.log(max(p[true_class], LOG_LOSS_FLOOR)))
        for index, score in enumerate(score_bin(p)):
            self.scores[index, index == true_class, int(score)] += 1

    def merge(self, other: Tally) -> None:
        """Adds another tally's examples."""
        self.confusion += other.confusion
        self.calibration += other.calibration
        self.negative_log_likelihood += other.negative_log_likelihood
        self.scores.update(other.scores)

    # === Metrics ===

    @property
    def examples(self) -> int:
        """All examples, those with an invalid prediction too."""
        return int(self.confusion.sum())

    @property
    def invalid_predictions(self) -> int:
        """Examples whose prediction is no vector of probabilities."""
        return int(self.confusion[:, -1].sum())

    @property
    def accuracy(self) -> float:
        """Share of right answers; an invalid prediction is a wrong one."""
        return _ratio(np.trace(self.confusion), self.examples)

    @property
    def recall(self) -> np.ndarray:
        """float64 [classes]; NaN for a class without examples."""
        return _ratios(np.diag(self.confusion), self.confusion.sum(axis=1))

    @property
    def precision(self) -> np.ndarray:
        """float64 [classes]; NaN for a class that is never predicted."""
        return _ratios(np.diag(self.confusion), self.confusion[:, :-1].sum(axis=0))

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that have examples (Brodersen et al. 2010; scikit-learn's balanced_accuracy_score)."""
        recall = self.recall
        present = ~np.isnan(recall)
        return float(recall[present].mean()) if present.any() else float("nan")

    @property
    def log_loss(self) -> float:
        """Mean negative log likelihood of the true class over the valid predictions, nats."""
        return _ratio(self.negative_log_likelihood, self.examples - self.invalid_predictions)

    @property
    def calibration_error(self) -> float:
        """Expected calibration error over the valid predictions.

        Mean |confidence - accuracy| over equally wide bins of the top probability, weighted by their examples:
        Guo et al., On Calibration of Modern Neural Networks, ICML 2017, equation 3.
        """
        return _ratio(np.abs(self.calibration[:, 1] - self.calibration[:, 2]).sum(), self.calibration[:, 0].sum())

    @property
    def auc(self) -> np.ndarray:
        """Area under each class's one-vs-rest ROC curve, float64 [classes]; NaN where either side has no examples.

        The Mann-Whitney statistic over binned scores, scores in one bin counting as ties (one half):
        Hanley and McNeil, Radiology 143, 1982.
        """
        others, own = self._score_counts()
        below = np.cumsum(others, axis=1) - others
        return _ratios((own * (below + others / 2)).sum(axis=1), own.sum(axis=1) * others.sum(axis=1))

    @property
    def roc(self) -> np.ndarray:
        """Each class's one-vs-rest ROC curve, float64 [classes, thresholds, 3]: threshold, false and true positive rate.

        The thresholds are the same for all tallies, from the lowest (everything is positive) to the highest (nothing is); a rate is NaN
        where its side has no examples.
        """
        edges = np.arange(0, SCORE_BINS + 1, ROC_STEP)
        thresholds = 1 / (1 + np.exp(SCORE_LIMIT - edges / SCORE_BINS_PER_UNIT))
        rates = []
        for counts in self._score_counts():
            below = np.pad(np.cumsum(counts, axis=1), ((0, 0), (1, 0)))[:, edges]
            total = counts.sum(axis=1, keepdims=True)
            rates.append(np.divide(total - below, total, out=np.full(below.shape, np.nan), where=total > 0))
        return np.stack([np.broadcast_to(thresholds, rates[0].shape), *rates], axis=-1)

    def _score_counts(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the examples per class and bin of its score, float64 [classes, SCORE_BINS]: those of other classes, those of its own."""
        counts = np.zeros((2, len(self.confusion), SCORE_BINS))
        for (index, is_true, score), examples in self.scores.items():
            counts[int(is_true), index, score] = examples
        return counts[0], counts[1]


def score_bin(probabilities: np.ndarray) -> np.ndarray:
    """Returns the bin of each probability's logit, an integer in [0, SCORE_BINS).

    Args:
        probabilities: float64 of any shape, in [0, 1].
    """
    with np.errstate(divide="ignore"):
        logit = np.log(probabilities) - np.log1p(-np.minimum(probabilities, 1.0))
    return np.clip(np.floor((logit + SCORE_LIMIT) * SCORE_BINS_PER_UNIT), 0, SCORE_BINS - 1).astype(np.int64)


def _ratios(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator > 0)


def _ratio(numerator: float, denominator: float) -> float:
    return float(numerator / denominator) if denominator else float("nan")
