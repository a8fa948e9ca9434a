"""Pointwise 95 % bands of ROC and precision-recall curves, from the same draws of patients as every other interval (resampling.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from cxr.core.figures import Answers, Floats
from cxr.core.intervals import MIN_PATIENTS, Interval, share_interval
from cxr.core.resampling import resampled
from cxr.core.support import images_of, quantile

GRID: Floats = np.linspace(0, 1, 51)  # false positive rates, and recalls

Curve = Literal["roc", "precision_recall"]


@dataclass(frozen=True)
class Band:
    """Limits of a curve at each value of GRID, float64 [points]; NaN where most draws have no such point."""

    low: Floats
    high: Floats

    def at(self, places: Floats) -> list[Interval]:
        """Returns the limits at other places in [0, 1], float64 [places].

        Between two values of GRID they are the wider ones of both: the curve may rise or fall anywhere between them.
        """
        steps = places * (len(GRID) - 1)
        before, after = (found.astype(int) for found in (np.floor(steps + 1e-9), np.ceil(steps - 1e-9)))  # the same on GRID
        low, high = np.minimum(self.low[before], self.low[after]), np.maximum(self.high[before], self.high[after])
        return [Interval(*limits) for limits in zip(low.tolist(), high.tolist(), strict=True)]


def curve_bands(answers: Answers) -> list[dict[Curve, Band]]:
    """Returns the bands of each class, one against the rest.

    ROC: the true positive rate at fixed false positive rates (vertical averaging: Fawcett, Pattern Recognition Letters 27, 2006), on the
    straight line between two points, as the area counts it. Precision and recall: the precision at fixed recalls, of the highest threshold
    that reaches them, as in average precision. Answers that are no probabilities count in neither.

    Args:
      answers: Of one model.

    Returns: one entry per class; empty ones where either side of the curve has fewer than MIN_PATIENTS patients.
    """
    sides = [[images_of(answers.patients[answers.valid & side]) for side in (answers.labels == c, answers.labels != c)]
             for c in range(answers.classes)]  # fmt: skip
    shown = [index for index, both in enumerate(sides) if min(map(len, both)) >= MIN_PATIENTS]
    found: list[dict[Curve, Band]] = [{} for _ in range(answers.classes)]
    if not shown:
        return found
    curves = [_Curves(answers, index) for index in shown]

    def both(weights: Floats) -> Floats:
        return np.stack([curve(weights) for curve in curves])

    (whole,) = np.moveaxis(both(np.ones((1, len(answers.labels)))), 1, 0)  # [classes, 2, points]
    drawn = np.concatenate(list(resampled(answers, both)), axis=1)  # [classes, draws, 2, points]
    for index, (rates, precisions), draws in zip(shown, whole, drawn, strict=True):
        patients, z = len(sides[index][0]), max(map(quantile, sides[index]))
        roc = _band(rates, draws[:, 0], np.full(len(GRID), patients), z)
        roc.low[-1] = roc.high[-1] = 1.0  # where everything is taken for the class
        taken = np.maximum(GRID * patients / precisions, 1.0)  # patients whose images are taken for the class at such a recall
        found[index] = {"roc": roc, "precision_recall": _band(precisions, draws[:, 1], taken, z)}
    return found


class _Curves:
    """The two curves of one class, for many weightings of the examples at a time."""

    def __init__(self, answers: Answers, index: int) -> None:
        valid = np.flatnonzero(answers.valid)
        scores = answers.probabilities[valid, index]
        order = np.argsort(-scores, kind="stable")
        self._order = valid[order]
        self._own = answers.labels[self._order] == index
        self._last = np.flatnonzero(np.r_[np.diff(scores[order]) != 0, True])  # of each group of equal scores

    def __call__(self, weights: Floats) -> Floats:
        """Returns true positive rates and precisions, float64 [weightings, 2, points]; NaN where one side has no examples.

        Args:
          weights: float64 [weightings, examples].
        """
        found = np.full((len(weights), 2, len(GRID)), np.nan)
        if not len(self._order):
            return found
        ordered = weights[:, self._order]
        right = np.cumsum(ordered * self._own, axis=1)[:, self._last]
        wrong = np.cumsum(ordered * ~self._own, axis=1)[:, self._last]
        for at in np.flatnonzero((right[:, -1] > 0) & (wrong[:, -1] > 0)):
            hits, alarms = right[at], wrong[at]
            recall = hits / hits[-1]
            # of points one above the other interp takes the last, which is the upper one
            found[at, 0] = np.interp(GRID, np.r_[0, alarms / alarms[-1]], np.r_[0, recall])
            reached = np.searchsorted(recall, GRID - 1e-12)
            reached = np.maximum(reached, np.searchsorted(recall, 0, side="right"))  # before the first hit the precision says nothing
            found[at, 1] = hits[reached] / (hits[reached] + alarms[reached])
        return found


def _band(rates: Floats, draws: Floats, patients: Floats, z: float) -> Band:
    """Of shares [points], their draws [draws, points], on how many patients each rests [points], and the quantile of all."""
    limits = [share_interval(*point, z) for point in zip(rates.tolist(), draws.T, patients.tolist(), strict=True)]
    return Band(np.array([one.low for one in limits]), np.array([one.high for one in limits]))
