"""How far the probabilities of a split can be believed: expected calibration error, its bins, and log loss."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cxr.core.figures import CALIBRATION_BINS, Answers, Measure
from cxr.trainer.calibration_info import Bin, Reliability


def measure(probabilities: npt.ArrayLike, labels: npt.ArrayLike) -> Reliability:
    """Measures calibration error and log loss (Guo et al., On Calibration of Modern Neural Networks, ICML 2017, equations 2 and 3).

    Args:
      probabilities: [images, classes], at least one image.
      labels: [images], classes' numbers.
    """
    p, y = np.asarray(probabilities, np.float64), np.asarray(labels, np.int64)
    found = Measure(Answers(np.arange(len(y)), y, p), CALIBRATION_BINS)(np.ones((1, len(y))))
    bins = [
        Bin(
            low=number / CALIBRATION_BINS,
            high=(number + 1) / CALIBRATION_BINS,
            images=int(images),
            confidence=confidences / images,
            accuracy=right / images,
        )
        for number, (images, confidences, right) in enumerate(found.calibration[0])
        if images
    ]
    return Reliability(calibration_error=float(found.calibration_error[0]), log_loss=float(found.log_loss[0]), bins=tuple(bins))
