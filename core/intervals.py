"""95 % confidence intervals of the accuracies that a run reports.

Both take the examples as independent. Images of one patient are not: with several images per patient the true intervals are wider.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan, sqrt

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """Lower and upper limit, both in [0, 1]; NaN where there is nothing to estimate from."""

    low: float
    high: float


def proportion_interval(correct: int, examples: int) -> Interval:
    """Returns Wilson's score interval of a proportion (Wilson, JASA 22, 1927), as SciPy computes it.

    Args:
      correct: correct predictions.
      examples: all answers; 0 gives NaN limits.
    """
    if not examples:
        return Interval(nan, nan)
    from scipy.stats import binomtest

    limits = binomtest(correct, examples).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(float(limits.low), float(limits.high))


def mean_recall_interval(correct: Sequence[int], examples: Sequence[int]) -> Interval:
    """Returns the interval of balanced accuracy, the mean of the classes' recalls.

    The recalls are independent binomial proportions; their Wilson limits are joined by the method of variance estimates recovery
    (Zou, Huang and Zhang, Computational Statistics and Data Analysis 53, 2009): the distances between each recall and its limit
    add up like standard errors. It needs no resampling and keeps a positive width at a recall of 0 or 1.

    Args:
      correct: correct predictions per class.
      examples: examples per class; classes without any are left out, as they are in balanced accuracy.
    """
    present = [(r, n) for r, n in zip(correct, examples, strict=True) if n]
    if not present:
        return Interval(nan, nan)
    recalls = [(r / n, proportion_interval(r, n)) for r, n in present]
    mean = sum(recall for recall, _ in recalls) / len(recalls)
    below = sqrt(sum((recall - limits.low) ** 2 for recall, limits in recalls)) / len(recalls)
    above = sqrt(sum((limits.high - recall) ** 2 for recall, limits in recalls)) / len(recalls)
    return Interval(max(mean - below, 0.0), min(mean + above, 1.0))
