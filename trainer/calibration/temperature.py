"""Temperature scaling: one number per model that makes its confidence agree with its accuracy, and changes no label.

Guo et al., On Calibration of Modern Neural Networks, ICML 2017, https://arxiv.org/abs/1706.04599, section 4.2.
"""

from __future__ import annotations

import keras
import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from cxr.core.features import VAL
from cxr.trainer.calibration.layers import LEAST
from cxr.trainer.calibration.reliability import measure
from cxr.trainer.calibration_info import Calibration

# What a handful of images says is not believed beyond this.
LOWEST, HIGHEST = 0.2, 10.0


def fit(probabilities: npt.ArrayLike, labels: npt.ArrayLike) -> Calibration:
    """Fits the temperature on the answers to a validation split.

    The negative log likelihood is minimised, with (log T)² / 2 added to its sum: the prior log T ~ N(0, 1) weighs about as much as one
    image, so that it decides where there are a handful and nothing where there are a hundred. Where every answer is right the likelihood
    rises without end as T falls, and says nothing about the images that will be answered wrongly: T then stays at 1.

    Args:
      probabilities: [images, classes], before calibration; at least one image.
      labels: [images], classes' numbers; a class may be missing.
    """
    p, y = np.asarray(probabilities, np.float64), np.asarray(labels, np.int64)
    logits = np.log(np.maximum(p, LEAST))
    all_right = bool(np.all(p.argmax(axis=1) == y))

    def loss(log_temperature: float) -> float:
        return float(-log_softmax(logits / np.exp(log_temperature), axis=1)[np.arange(len(y)), y].sum() + log_temperature**2 / 2)

    note, temperature = "", 1.0
    if all_right:
        right = "the one answer on the validation split is" if len(y) == 1 else f"all {len(y)} answers on the validation split are"
        note = f"{right} right: no temperature below 1 can be justified by them"
    else:
        bounds = (float(np.log(LOWEST)), float(np.log(HIGHEST)))
        found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
        if loss(found.x) < loss(0.0):  # a minimum at 1 is met only up to rounding
            temperature = float(np.exp(found.x))
        if min(temperature / LOWEST, HIGHEST / temperature) < 1.001:
            note = f"held at the bound of {LOWEST:g} to {HIGHEST:g}"
    return Calibration(
        temperature=temperature,
        note=note,
        split=VAL,
        images=len(y),
        before=measure(p, y),
        after=measure(apply(p, temperature), y),
    )


def apply(probabilities: npt.ArrayLike, temperature: float) -> npt.NDArray[np.float32]:
    """Returns softmax(log p / temperature), float32, of probabilities [images, classes]."""
    if temperature == 1:
        return np.asarray(probabilities, np.float32)
    logits = np.log(np.maximum(np.asarray(probabilities, np.float64), LEAST))
    return softmax(logits / temperature, axis=1).astype(np.float32)


def scale_logits(model: keras.Model, temperature: float) -> None:
    """Puts the temperature into a model that ends in a Dense layer with softmax: its kernel and bias are divided by it.

    So the Keras file, the ensemble, Grad-CAM and every signature see the same calibrated network, which is no larger than before.

    Raises:
      ValueError: The model ends in something else.
    """
    last = model.layers[-1]
    while isinstance(last, keras.Model):
        last = last.layers[-1]
    if not isinstance(last, keras.layers.Dense) or last.activation is not keras.activations.softmax:
        raise ValueError(f"{model.name} ends in {last.name!r}, not in a Dense layer with softmax: its logits cannot be scaled")
    if temperature != 1:
        for variable in (last.kernel, last.bias):
            variable.assign(variable / temperature)
