"""The 95 % interval of a difference between two shares that were measured on the same patients, such as two models' accuracies."""

from __future__ import annotations

from math import isnan, nan, sqrt
from typing import TYPE_CHECKING

from cxr.core.intervals import Interval, Z, sampling_variance, trials

if TYPE_CHECKING:
    import numpy.typing as npt


_NEAR = 1e-12  # what was found is itself a solution where nothing differs


def paired_interval(difference: float, draws: npt.ArrayLike, patients: float, z: float = Z) -> Interval:
    """Returns Tango's score interval of a paired difference (Statistics in Medicine 17, 1998).

    It never collapses: where both are right on the same n patients the ends are z squared / (n + z squared) away, since nobody knows what
    the next patients would be. Its counts (how many only the one gets right, how many only the other) are those that have the difference
    and the draws' variance; so a patient with many images counts as one, and a part of them as a part.

    Args:
      difference: one share less the other, in [-1, 1].
      draws: the difference in each draw of patients, the same for both; NaN where it was not defined.
      patients: whom it was measured on; NaN limits where that is nobody.
      z: see `support.quantile`.
    """
    if isnan(difference) or not patients or isnan(variance := sampling_variance(draws, patients)):
        return Interval(nan, nan)
    # Where all lose a little the patients are too few trials for so small a variance, where a few lose with many images too many.
    number = max(patients, trials(abs(difference) * (1 - abs(difference)), variance, patients, z))
    number = min(number, trials(1 - difference**2, variance, patients, z))
    unequal = min(max(number * variance + difference**2, abs(difference)), 1.0)
    gains, losses = ((unequal + sign * difference) * number / 2 for sign in (1, -1))
    return Interval(_lower(gains, losses, number, z), -_lower(losses, gains, number, z))


def _lower(gains: float, losses: float, number: float, z: float) -> float:
    """Returns the least difference that `gains` and `losses` among `number` pairs do not speak against."""
    from scipy.optimize import brentq

    found = (gains - losses) / number
    if found <= -1 + _NEAR:
        return -1.0

    def excess(at: float) -> float:
        """The squared distance of what was found from `at`, less z squared times its variance there (Tango's equation 2)."""
        linear = -gains - losses + (2 * number - gains + losses) * at
        rest = -losses * at * (1 - at)
        loss = (sqrt(max(linear**2 - 8 * number * rest, 0.0)) - linear) / (4 * number)  # likeliest share of losses at this difference
        return float(number * (found - at) ** 2 - z**2 * (2 * loss + at * (1 - at)))

    if excess(-1.0) <= 0:  # number * (found + 1)**2 but for rounding, which hides it where `found` is next to -1
        return -1.0
    return float(brentq(excess, -1.0, found - _NEAR, xtol=_NEAR))
