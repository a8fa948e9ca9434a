"""95 % confidence intervals of what a run reports, from draws of patients (core/resampling.py)."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, isnan, nan, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from cxr.core.strict_model import StrictModel

if TYPE_CHECKING:
    import numpy.typing as npt

CONFIDENCE = 0.95
MIN_PATIENTS = 10  # draws of fewer say little about others
NONE = "–"  # how tables show what is not defined
TOO_FEW = "too few patients for an interval"  # how sentences say that there is no interval
Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


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


_ROUNDED = 1e-6  # how far beyond 0 and 1 arithmetic may carry a share


def checked_share(figure: Figure) -> Figure:
    """Returns a figure that is a share.

    Raises:
      ValueError: Its value or a limit is not from 0 to 1.
    """
    numbers = (figure.value, figure.low, figure.high)
    if not all(number is None or -_ROUNDED <= number <= 1 + _ROUNDED for number in numbers):
        raise ValueError("must be from 0 to 1, as shares are")
    return figure


Share = Annotated[Figure, AfterValidator(checked_share)]  # a Figure from 0 to 1, of files that are read back
Fraction = Annotated[float, Field(ge=-_ROUNDED, le=1 + _ROUNDED)]  # such a number without an interval


def bootstrap_interval(draws: npt.ArrayLike, patients: float, z: float = Z) -> Interval:
    """Returns the percentile interval (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).

    Args:
      draws: the figure in each draw; NaN where it was not defined. NaN limits where that is so in half of them or more.
      patients: whom it was measured on; NaN limits where they are fewer than MIN_PATIENTS.
      z: see `support.quantile`; the percentiles are the normal distribution's at it (Hesterberg, The American Statistician 69, 2015).
    """
    import numpy as np

    values = np.asarray(draws, np.float64)
    defined = values[~np.isnan(values)]
    if patients < MIN_PATIENTS or len(defined) * 2 <= len(values):
        return Interval(nan, nan)
    beyond = 100 * NormalDist().cdf(-z)
    low, high = np.percentile(defined, [beyond, 100 - beyond])
    return Interval(float(low), float(high))


def share_interval(share: float, draws: npt.ArrayLike, patients: float, z: float = Z) -> Interval:
    """Returns Wilson's interval of a share, or of an AUC, on as many trials as its draws show it to rest on.

    One rule for all shares, so that a perfect result is never less sure than an almost perfect one; see `trials`. Of fewer than
    MIN_PATIENTS the draws say little: there each patient is a trial.

    Args:
      share: what was measured, in [0, 1].
      draws: the share in each draw of patients; NaN where it was not defined.
      patients: whom it was measured on.
      z: see `support.quantile`.
    """
    if patients < MIN_PATIENTS or isnan(variance := sampling_variance(draws, patients)):
        return proportion_interval(share, patients, z)
    return proportion_interval(share, trials(share * (1 - share), variance, patients, z), z)


def sampling_variance(draws: npt.ArrayLike, patients: float) -> float:
    """Returns the cluster-robust variance of a figure from its draws; NaN where it was not defined in half of them or more.

    That is the draws' own, but for the factor of a sample: Field and Welsh, JRSS B 69, 2007.

    Args:
      draws: the figure in each draw of patients.
      patients: whom it was measured on.
    """
    import numpy as np

    values = np.asarray(draws, np.float64)
    defined = values[~np.isnan(values)]
    return float(defined.var()) * patients / max(patients - 1, 1) if len(defined) * 2 > len(values) else nan


def trials(of_one: float, variance: float, patients: float, z: float) -> float:
    """Returns how many independent trials have a mean that varies so: of_one / variance.

    Where next to all answers are right (or wrong) few patients make the variance, or none; so as many further errors as Wilson's interval
    adds (z squared / 2) stand beside those that were seen, one to a patient. With fewer an imperfect share could have the better lower end.

    Args:
      of_one: variance of a single trial; of a share, share * (1 - share).
      variance: of what was measured; see `sampling_variance`.
      patients: whom it was measured on.
      z: see `support.quantile`.
    """
    added = z**2 / 2 / patients
    return (of_one + added) / (variance + added / patients)


def proportion_interval(share: float, trials: float, z: float = Z) -> Interval:
    """Returns Wilson's score interval of a proportion (Wilson, JASA 22, 1927).

    Args:
      share: in [0, 1]; a share of images, though the trials are patients, need not be a whole number of them.
      trials: independent ones; 0 gives NaN limits.
      z: standard errors to each side.
    """
    if not trials or isnan(share):
        return Interval(nan, nan)
    shrunk = 1 + z**2 / trials
    centre = (share + z**2 / (2 * trials)) / shrunk
    half = z / shrunk * sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    return Interval(max(centre - half, 0.0), min(centre + half, 1.0))
