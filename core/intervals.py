"""95 % confidence intervals of what a run reports, from draws of patients (core/resampling.py)."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, isnan, nan, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING

from cxr.core.strict_model import StrictModel

if TYPE_CHECKING:
    import numpy.typing as npt

CONFIDENCE = 0.95
MIN_PATIENTS = 10  # draws of fewer say little about others
NONE = "–"  # how tables show what is not defined
TOO_FEW = "too few patients to tell"  # how sentences say that there is no interval
_Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


@dataclass(frozen=True)
class Interval:
    """Lower and upper limit; NaN where there is nothing to estimate from."""

    low: float
    high: float

    def __str__(self) -> str:
        """As tables show it."""
        return f"{self.low:.3f} to {self.high:.3f}" if isfinite(self.low) and isfinite(self.high) else NONE


def with_interval(value: float, interval: Interval) -> str:
    """Returns a value as tables show it, "0.912 (0.850 to 0.960)": without the brackets where there is no interval, NONE for NaN."""
    if not isfinite(value):
        return NONE
    return f"{value:.3f}" if str(interval) == NONE else f"{value:.3f} ({interval})"


class Figure(StrictModel):
    """A measured value with its 95 % interval; null where it is not defined."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, value: float, interval: Interval) -> Figure:
        """Makes one of floats that may be NaN."""
        defined = [float(number) if isfinite(number) else None for number in (value, interval.low, interval.high)]
        return cls(value=defined[0], low=defined[1], high=defined[2])

    def __str__(self) -> str:
        """As tables show it."""
        value, low, high = (nan if number is None else number for number in (self.value, self.low, self.high))
        return with_interval(value, Interval(low, high))


def bootstrap_interval(draws: npt.ArrayLike, patients: float) -> Interval:
    """Returns the percentile interval (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).

    Args:
      draws: the figure in each draw; NaN where it was not defined. NaN limits where that is so in half of them or more.
      patients: whom it was measured on; NaN limits where they are fewer than MIN_PATIENTS.
    """
    import numpy as np

    values = np.asarray(draws, np.float64)
    defined = values[~np.isnan(values)]
    if patients < MIN_PATIENTS or len(defined) * 2 <= len(values):
        return Interval(nan, nan)
    low, high = np.percentile(defined, [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)])
    return Interval(float(low), float(high))


def share_interval(share: float, draws: npt.ArrayLike, patients: float) -> Interval:
    """Returns Wilson's interval of a share, or of an AUC, on as many trials as its draws show it to rest on.

    One rule for all shares, so that a perfect result is never less sure than an almost perfect one; see `_trials`. Of fewer than
    MIN_PATIENTS the draws say little: there each patient is a trial.

    Args:
      share: what was measured, in [0, 1].
      draws: the share in each draw of patients; NaN where it was not defined.
      patients: whom it was measured on.
    """
    return proportion_interval(share, _trials(share, draws, patients) if patients >= MIN_PATIENTS else patients)


def _trials(share: float, draws: npt.ArrayLike, patients: float) -> float:
    """Returns how many independent trials would vary as much as the draws do: share * (1 - share) / variance.

    The draws' variance is the cluster-robust one, but for the factor of the sample (Field and Welsh, JRSS B 69, 2007). Where next to all
    answers are right (or wrong) few patients make it, or none; so as many further errors as Wilson's interval adds (z squared / 2) stand
    beside those that were seen, one to a patient. With fewer an imperfect share could have the better lower end.
    """
    import numpy as np

    values = np.asarray(draws, np.float64)
    defined = values[~np.isnan(values)]
    if len(defined) * 2 <= len(values):
        return patients
    variance = float(defined.var()) * patients / (patients - 1)
    added = _Z**2 / 2 / patients
    return (share * (1 - share) + added) / (variance + added / patients)


def proportion_interval(share: float, trials: float) -> Interval:
    """Returns Wilson's score interval of a proportion (Wilson, JASA 22, 1927).

    Args:
      share: in [0, 1]; a share of images, though the trials are patients, need not be a whole number of them.
      trials: independent ones; 0 gives NaN limits.
    """
    if not trials or isnan(share):
        return Interval(nan, nan)
    shrunk = 1 + _Z**2 / trials
    centre = (share + _Z**2 / (2 * trials)) / shrunk
    half = _Z / shrunk * sqrt(share * (1 - share) / trials + _Z**2 / (4 * trials**2))
    return Interval(max(centre - half, 0.0), min(centre + half, 1.0))
