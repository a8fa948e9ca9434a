"""Which images a model is most wrong about: it names another class, and is sure of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr.components.answers.image_answers import AnsweredImages
from cxr.core import features
from cxr.core.figures import valid

SHOWN = 12


@dataclass(frozen=True)
class Confident:
    """The most confident wrong answers of one model.

    Attributes:
      model: its name.
      total: wrong answers.
      images: numbers of those that are shown, the most confident first.
      labels: of the same, int64 [shown].
      answers: every model's probabilities for the same, by name; float32 [shown, classes].
      wrong_by_all: images of the split that every model got wrong.
    """

    model: str
    total: int
    images: tuple[int, ...]
    labels: npt.NDArray[np.int64]
    answers: Mapping[str, npt.NDArray[np.float32]]
    wrong_by_all: int


def most_confident(answers: Mapping[str, AnsweredImages]) -> Confident | None:
    """Finds the mistakes of the ensemble, or of the last model where there is none.

    Args:
      answers: By model. Those who answered for other images than that one are left out.
    """
    if not answers:
        return None
    model = features.ENSEMBLE if features.ENSEMBLE in answers else list(answers)[-1]
    leading = answers[model]
    same = {name: given for name, given in answers.items() if np.array_equal(given.images, leading.images)}
    wrong = {name: named(given.probabilities) != leading.labels for name, given in same.items()}
    confidence = np.nan_to_num(leading.probabilities, nan=np.inf).max(axis=1)  # an answer that is no number is the worst
    order = [int(at) for at in np.argsort(-confidence, kind="stable") if wrong[model][at]]
    first: dict[int, int] = {}  # a picture that stands twice is shown once
    for at in order:
        first.setdefault(int(leading.images[at]), at)
    rows = list(first.values())[:SHOWN]
    return Confident(
        model,
        len(order),
        tuple(int(leading.images[at]) for at in rows),
        leading.labels[rows],
        {name: same[name].probabilities[rows] for name in (model, *(other for other in same if other != model))},
        int(np.logical_and.reduce(list(wrong.values())).sum()),
    )


def named(probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Returns the index of the most probable class, int64 [images]; -1 where the answer is no vector of probabilities.

    Args:
      probabilities: [images, classes].
    """
    return np.where(valid(probabilities), np.nan_to_num(probabilities).argmax(axis=1), -1)
