"""What a model answered to labelled images, and every figure that follows: those of the Evaluator, without TFMA."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr.components.metrics.evaluation import ClassResult, Evaluation, evaluation_of
from cxr.components.metrics.tally import Tally
from cxr.components.metrics.values import values_of
from cxr.core import features
from cxr.core.figure_table import OF_ONE_CLASS, interval_key
from cxr.core.intervals import Interval


@dataclass(frozen=True, slots=True)
class Answer:
    """One image, its label and what a model said.

    Attributes:
      label: Name of the class.
      probabilities: float32 [classes].
      patient: Anything that is equal for the images of one patient.
      facts: Feature to value; those of SLICE_FEATURES are read, UNKNOWN where absent.
    """

    label: str
    probabilities: npt.NDArray[np.float32]
    patient: str
    facts: Mapping[str, object]


def measure(answers: Iterable[Answer], class_names: Sequence[str], bins: int) -> Evaluation:
    """Computes what the Evaluator would on the same answers, intervals by patient and slices included.

    Args:
      answers: In any order; labels may be any subset of the classes.
      class_names: In the order of the probabilities.
      bins: Equally wide bins of the top probability, of the calibration error.

    Returns:
      All figures of a class without images are NaN (the Evaluator gives its precision, which is 0 where it is ever predicted).
    """
    whole = Tally(len(class_names), bins)
    slices: dict[tuple[str, str], Tally] = {}
    index = {name: number for number, name in enumerate(class_names)}
    for answer in answers:
        parts = [(name, str(answer.facts.get(name, features.UNKNOWN))) for name in features.SLICE_FEATURES if name != features.LABEL]
        for part in [(features.LABEL, answer.label), *parts]:
            slices.setdefault(part, Tally(len(class_names), bins)).add(index[answer.label], answer.probabilities, answer.patient.encode())
        whole.add(index[answer.label], answer.probabilities, answer.patient.encode())
    values = {part: values_of(tally.results()) for part, tally in slices.items()}
    found = evaluation_of(values_of(whole.results()), values, tuple(class_names))
    return replace(found, classes=tuple(one if one.examples else _undefined(one) for one in found.classes))


def _undefined(one: ClassResult) -> ClassResult:
    none = Interval(nan, nan)
    undefined: dict[str, Any] = {name: value for row in OF_ONE_CLASS for name, value in ((row.name, nan), (interval_key(row.name), none))}
    return replace(one, **undefined)
