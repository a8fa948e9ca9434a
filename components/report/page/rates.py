"""What was chosen on the validation split, operating points and conformal sets, on the split that the models are judged on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr.components.report.page.content import Model
from cxr.core.figures import Answers, Floats
from cxr.core.intervals import Figure, share_interval
from cxr.core.resampling import resampled
from cxr.core.support import images_of, quantile
from cxr.trainer.calibration.conformal import members
from cxr.trainer.calibration_info import OperatingPoint


@dataclass(frozen=True)
class Rates:
    """Of one model; intervals are by patient.

    Attributes:
      points: class to sensitivity and specificity at each of its operating points, in their order.
      covered: share of images whose class is in their conformal set; None: the model makes no sets.
      mean_size: classes in a set.
    """

    points: Mapping[str, tuple[tuple[Figure, Figure], ...]]
    covered: Figure | None = None
    mean_size: float | None = None


def measure(model: Model) -> Rates | None:
    """Returns a model's rates; None where it was not judged, or some of the images or their patients cannot be told apart.

    A prediction that is no probability counts as wrong, whatever was asked.
    """
    found, info = model.answers, model.info
    if info is None or found is None or found.patients is None or model.evaluation is None:
        return None
    if len(found.images) != model.evaluation.examples:
        return None
    answers = Answers(found.patients, found.labels, found.probabilities.astype(np.float64))
    asked = []  # right answers and of which images, each bool [images]
    for name, points in info.operating_points.items():
        index = info.class_names.index(name)
        asked += [part for point in points for part in _called(answers, index, point)]
    sets = members(answers.probabilities, info.conformal.least_probability) if info.conformal else None
    if sets is not None:
        asked.append((sets[np.arange(len(sets)), answers.labels] & answers.valid, np.ones(len(sets), bool)))
    figures = iter(_shares(answers, asked))
    return Rates(
        points={name: tuple((next(figures), next(figures)) for _ in points) for name, points in info.operating_points.items()},
        covered=None if sets is None else next(figures),
        mean_size=None if sets is None else float(sets[answers.valid].sum(axis=1).mean()) if answers.valid.any() else None,
    )


def _called(answers: Answers, index: int, point: OperatingPoint) -> tuple[tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]], ...]:
    """Of the class and of the others: who is told right, and who it is."""
    own, reached = answers.labels == index, answers.probabilities[:, index] >= point.threshold
    return (reached & answers.valid, own), (~reached & answers.valid, ~own)


def _shares(answers: Answers, asked: list[tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]]) -> list[Figure]:
    """The shares that are right, with their intervals; the same patients are drawn as for the Evaluator's figures."""
    if not asked:
        return []
    of = np.stack([images for _, images in asked], axis=1).astype(np.float64)
    right = np.stack([right for right, _ in asked], axis=1) * of

    def shares(weights: Floats) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((weights @ right) / (weights @ of))

    draws = np.concatenate(list(resampled(answers, shares)))
    values = shares(np.ones((1, len(of))))[0]
    of_patients = [images_of(answers.patients[images]) for _, images in asked]
    found = zip(values.tolist(), draws.T, of_patients, strict=True)
    return [Figure.of(value, share_interval(value, drawn, len(images), quantile(images))) for value, drawn, images in found]
