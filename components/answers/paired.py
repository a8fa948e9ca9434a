"""By how much one model is better than another on the same images: for report.html and for `cxr compare`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from cxr.components.answers.image_answers import AnsweredImages
from cxr.components.metrics import names
from cxr.core.counts import agreeing, how_many
from cxr.core.intervals import TOO_FEW, Figure
from cxr.core.measurement import Measurement


@dataclass(frozen=True)
class Paired:
    """The difference of two models; empty, with the reason, where they cannot be compared."""

    differences: Mapping[str, Figure] = field(default_factory=dict)  # figure: second less first
    why_not: str = ""


def compare(first: AnsweredImages | None, second: AnsweredImages | None) -> Paired:
    """Returns the differences of names.PAIRED, second less first, with 95 % intervals by patient.

    Args:
      first: Answers of the one; None: it was not evaluated, or its answers are gone.
      second: Of the other. The patients of either will do, since the images are the same.
    """
    if reason := _why_not(first, second):
        return Paired(why_not=reason)
    assert first is not None
    assert second is not None
    patients = second.patients if second.patients is not None else first.patients
    assert patients is not None
    then, now = (Measurement(patients, found.labels, found.probabilities) for found in (first, second))
    return Paired({name: now.above(then, name) for name in names.PAIRED})


def _why_not(first: AnsweredImages | None, second: AnsweredImages | None) -> str:
    if first is None or second is None:
        which = "the first" if first is None else "the second"
        return f"{which} has no stored predictions: it was not evaluated, its evaluation was removed, or it is from an older version"
    if not np.array_equal(first.images, second.images):
        shared = len(np.intersect1d(first.images, second.images))
        return f"judged on other images: {len(first.images)} and {len(second.images)}, {shared} of them the same"
    if changed := int(np.sum(first.labels != second.labels)):
        return f"{changed} of the {how_many(len(first.images), 'image')} {agreeing(changed, 'has', 'have')} another label now"
    if first.patients is None and second.patients is None:
        return "the records that name the patients of the images are missing"
    return ""


def meaning(difference: Figure, *, lower_is_better: bool = False) -> str:
    """Returns what a difference and its interval say."""
    low, high = difference.low, difference.high
    if low is None or high is None:
        return TOO_FEW
    if low <= 0 <= high:
        return "the difference may be chance"
    return "better than chance explains" if (low > 0) != lower_is_better else "worse than chance explains"
