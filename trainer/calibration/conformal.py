"""Conformal sets: the classes that a picture may belong to, so many of them that the right one is among them as often as promised.

The score of a class is one minus its calibrated probability (the 'least ambiguous set' of Sadinle, Lei and Wasserman, JASA 114, 2019).
The likeliest class is always in the set: an empty one would say nothing, and coverage can only grow by it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cxr.core.counts import how_many
from cxr.core.features import VAL
from cxr.trainer.calibration.ranks import conformal_quantile
from cxr.trainer.calibration_info import Conformal


def fit(probabilities: npt.ArrayLike, labels: npt.ArrayLike, coverage: float) -> Conformal:
    """Finds the least probability of a class in the set.

    Args:
      probabilities: [images, classes] of the validation split, calibrated; at least one image.
      labels: [images], classes' numbers.
      coverage: Share of images whose class shall be in their set.
    """
    p, y = np.asarray(probabilities, np.float64), np.asarray(labels, np.int64)
    found = conformal_quantile(1 - p[np.arange(len(y)), y], coverage)
    note = (
        "" if found is not None else f"{how_many(len(y), 'image is', 'images are')} too few for this coverage: every class is in every set"
    )
    least = 0.0 if found is None else max(0.0, 1 - found)
    sets = members(p, least)
    return Conformal(
        coverage=coverage,
        least_probability=least,
        split=VAL,
        images=len(y),
        covered=float(sets[np.arange(len(y)), y].mean()),
        mean_size=float(sets.sum(axis=1).mean()),
        note=note,
    )


def members(probabilities: npt.ArrayLike, least: float) -> npt.NDArray[np.bool_]:
    """Returns which classes are in the set, bool [images, classes], of probabilities [images, classes]."""
    p = np.asarray(probabilities)
    return p >= np.minimum(least, p.max(axis=1, keepdims=True))
