"""From a trained model's answers to what it will say about them: what the trainers of models and ensemble run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr.core.errors import CxrError
from cxr.core.features import VAL
from cxr.core.stored_rows import Array
from cxr.trainer.calibration import conformal, operating_points, temperature
from cxr.trainer.calibration_info import Calibration, Conformal, OperatingPoint
from cxr.trainer.model_config import Calibrated


@dataclass(frozen=True)
class Settled:
    """What was fitted on the validation split."""

    probabilities: dict[str, Array]  # by split, [images, classes], calibrated
    calibration: Calibration
    conformal: Conformal | None
    operating_points: dict[str, tuple[OperatingPoint, ...]]

    def info(self) -> dict[str, Any]:
        """Returns its keys of model.json."""
        return {
            "calibration": self.calibration.model_dump(mode="json"),
            "conformal": self.conformal.model_dump(mode="json") if self.conformal else None,
            "operating_points": {
                name: [point.model_dump(mode="json") for point in points] for name, points in self.operating_points.items()
            },
        }


def settle(
    config: Calibrated, class_names: Sequence[str], probabilities: Mapping[str, Array], labels: Mapping[str, npt.NDArray[np.int64]]
) -> Settled:
    """Fits temperature and thresholds.

    Args:
      config: What is wanted.
      class_names: In the order of the probabilities.
      probabilities: By split, [images, classes], as the network yields them; without the validation split nothing is fitted.
      labels: By split, [images].

    Raises:
      CxrError: Answers that are no numbers.
    """
    calibrated, fitted = calibrate(config, probabilities, labels)
    sets, points = None, {}
    if VAL in calibrated:
        if config.conformal_coverage is not None:
            sets = conformal.fit(calibrated[VAL], labels[VAL], config.conformal_coverage)
        points = operating_points.choose(calibrated[VAL], labels[VAL], class_names)
    return Settled(calibrated, fitted, sets, points)


def calibrate(
    config: Calibrated, probabilities: Mapping[str, Array], labels: Mapping[str, npt.NDArray[np.int64]]
) -> tuple[dict[str, Array], Calibration]:
    """Fits the temperature alone, which is all that a fold of a cross-validation needs; arguments and errors are those of `settle`.

    Returns:
      Calibrated answers by split, and what they were calibrated with.
    """
    for split, answers in probabilities.items():
        if not np.isfinite(answers).all():
            raise CxrError(f"{split} split: the trained model answers with numbers that are not finite; lower the learning_rate")
    if config.calibration == "none":
        fitted = Calibration(temperature=1.0, note="calibration: none was configured")
    elif VAL not in probabilities:
        fitted = Calibration(temperature=1.0, note="no validation split to fit a temperature on: not calibrated")
    else:
        fitted = temperature.fit(probabilities[VAL], labels[VAL])
    return {split: temperature.apply(answers, fitted.temperature) for split, answers in probabilities.items()}, fitted
