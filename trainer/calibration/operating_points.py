"""Operating points: the probability from which on a class is called, so that few are missed or few are called wrongly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cxr.core.intervals import Interval, share_interval
from cxr.core.resampling import DRAWS, SEED
from cxr.trainer.calibration.description import OperatingPoint

DEMANDED = 0.9  # of the specificity, and of the sensitivity
SPECIFICITY, SENSITIVITY = "specificity", "sensitivity"


def choose(probabilities: npt.ArrayLike, labels: npt.ArrayLike, class_names: Sequence[str]) -> dict[str, tuple[OperatingPoint, ...]]:
    """Chooses, one class against the rest, the threshold with the most sensitivity at 90 % specificity, and the other way round.

    Args:
      probabilities: [images, classes] of the validation split.
      labels: [images], classes' numbers.
      class_names: In the order of the probabilities.

    Returns:
      By class; one that is missing from the split, or alone in it, is left out.
    """
    p, y = np.asarray(probabilities, np.float64), np.asarray(labels, np.int64)
    return {
        name: (_at_specificity(p[:, index], y == index), _at_sensitivity(p[:, index], y == index))
        for index, name in enumerate(class_names)
        if 0 < (y == index).sum() < len(y)
    }


def _at_specificity(p: npt.NDArray[np.float64], positive: npt.NDArray[np.bool_]) -> OperatingPoint:
    """The lowest threshold at which at least 90 % of the others stay below it."""
    others = np.sort(p[~positive])
    allowed = len(others) - int(np.ceil(DEMANDED * len(others) - 1e-9))  # called wrongly
    border = others[-1 - allowed]  # this one must not be called any more: the threshold lies above it
    above = p[p > border]
    return _point(SPECIFICITY, float(above.min()) if len(above) else 1.0, p, positive)


def _at_sensitivity(p: npt.NDArray[np.float64], positive: npt.NDArray[np.bool_]) -> OperatingPoint:
    """The highest threshold that at least 90 % of the class reach."""
    own = np.sort(p[positive])
    return _point(SENSITIVITY, float(own[len(own) - int(np.ceil(DEMANDED * len(own) - 1e-9))]), p, positive)


def _point(at_least: str, threshold: float, p: npt.NDArray[np.float64], positive: npt.NDArray[np.bool_]) -> OperatingPoint:
    sensitivity, specificity = _rates(p >= threshold, positive, np.ones(len(p)))
    return OperatingPoint(
        at_least=at_least, demanded=DEMANDED, threshold=threshold, sensitivity=float(sensitivity), specificity=float(specificity)
    )


def measure(
    threshold: float, probabilities: npt.ArrayLike, positive: npt.ArrayLike, patients: npt.ArrayLike
) -> dict[str, tuple[float, Interval]]:
    """Measures a threshold on images that it was not chosen on.

    Args:
      threshold: Of the class's probability; one that reaches it is called.
      probabilities: [images], of the class.
      positive: [images], whether it is the image's class.
      patients: [images], whose they are: any values that tell patients apart.

    Returns:
      SENSITIVITY and SPECIFICITY, each with its 95 % interval by a bootstrap over patients (core/intervals.py).
    """
    called = np.asarray(probabilities, np.float64) >= threshold
    is_class = np.asarray(positive, np.bool_)
    whose = np.asarray(patients)
    figures = zip(_rates(called, is_class, np.ones(len(called))), _rates(called, is_class, patient_draws(whose)), strict=True)
    found = {}
    for name, inside, (share, draws) in zip((SENSITIVITY, SPECIFICITY), (is_class, ~is_class), figures, strict=True):
        found[name] = (float(share), share_interval(float(share), draws, len(np.unique(whose[inside]))))
    return found


def patient_draws(patients: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Returns how often each image counts, [DRAWS, images], where patients are drawn with all their images, as many as there are."""
    _, patient = np.unique(np.asarray(patients), return_inverse=True)
    count = int(patient.max(initial=-1)) + 1
    if not count:
        return np.zeros((DRAWS, 0))
    return np.random.default_rng(SEED).multinomial(count, np.full(count, 1 / count), DRAWS)[:, patient].astype(np.float64)


def _rates(called: npt.NDArray[np.bool_], positive: npt.NDArray[np.bool_], weights: npt.NDArray) -> tuple[npt.NDArray, npt.NDArray]:
    """Sensitivity and specificity under weights [..., images]; NaN where there is no image to measure on."""
    with np.errstate(invalid="ignore"):
        sensitivity = weights @ (called & positive) / (weights @ positive)
        specificity = weights @ (~called & ~positive) / (weights @ ~positive)
    return sensitivity, specificity
