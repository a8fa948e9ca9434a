"""How far the probabilities of a split can be believed: expected calibration error, its bins, and log loss."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cxr.trainer.calibration.description import Bin, Reliability

BINS = 15  # of the top probability, equally wide, as in Guo et al. and in the Evaluator's metric
LEAST = 1e-30  # what a probability is clipped to before its logarithm is taken; float32 ends at 1e-38


def measure(probabilities: npt.ArrayLike, labels: npt.ArrayLike) -> Reliability:
    """Measures calibration error and log loss (Guo et al., On Calibration of Modern Neural Networks, ICML 2017, equations 2 and 3).

    Args:
      probabilities: [images, classes], at least one image.
      labels: [images], classes' numbers.
    """
    p, y = np.asarray(probabilities, np.float64), np.asarray(labels, np.int64)
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    bin_of = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    bins = []
    for number in np.unique(bin_of):
        inside = bin_of == number
        means = {"confidence": float(confidence[inside].mean()), "accuracy": float(right[inside].mean())}
        bins.append(Bin(low=number / BINS, high=(number + 1) / BINS, images=int(inside.sum()), **means))
    error = sum(one.images * abs(one.confidence - one.accuracy) for one in bins) / len(y)
    return Reliability(calibration_error=error, log_loss=log_loss(p, y), bins=tuple(bins))


def log_loss(probabilities: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Returns the mean negative log likelihood of the labels, nats; arguments as in `measure`."""
    p = np.asarray(probabilities, np.float64)
    return float(-np.log(np.maximum(p[np.arange(len(p)), np.asarray(labels, np.int64)], LEAST)).mean())
