"""Operating points: the probability from which on a class is called, so that few are missed or few are called wrongly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cxr.trainer.calibration_info import OperatingPoint

DEMANDED = 0.9  # of the specificity, and of the sensitivity
SPECIFICITY, SENSITIVITY = "specificity", "sensitivity"
NOBODY = float(np.nextafter(np.float32(1), np.float32(2)))  # a threshold that no probability reaches, not even a saturated one


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
    return _point(SPECIFICITY, float(above.min()) if len(above) else NOBODY, p, positive)


def _at_sensitivity(p: npt.NDArray[np.float64], positive: npt.NDArray[np.bool_]) -> OperatingPoint:
    """The highest threshold that at least 90 % of the class reach."""
    own = np.sort(p[positive])
    return _point(SENSITIVITY, float(own[len(own) - int(np.ceil(DEMANDED * len(own) - 1e-9))]), p, positive)


def _point(at_least: str, threshold: float, p: npt.NDArray[np.float64], positive: npt.NDArray[np.bool_]) -> OperatingPoint:
    called = p >= threshold
    sensitivity, specificity = float(called[positive].mean()), float((~called[~positive]).mean())
    return OperatingPoint(at_least=at_least, demanded=DEMANDED, threshold=threshold, sensitivity=sensitivity, specificity=specificity)
