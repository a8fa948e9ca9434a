# ruff: noqa: D102 - call, build and get_config mean what they mean in every Keras layer
"""Keras layers of calibrated models."""

from __future__ import annotations

from typing import Any

import keras

from cxr.trainer.calibration.outside import SMALLEST, Detector

LEAST = 1e-30  # what a probability is clipped to before its logarithm is taken; float32 ends at 1e-38


@keras.saving.register_keras_serializable(package="cxr")
class Temperature(keras.layers.Layer):
    """softmax(log p / temperature), [batch, classes] to the same: for answers that come from no logits, as an ensemble's."""

    def __init__(self, temperature: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.temperature = float(temperature)

    def call(self, probabilities: Any) -> Any:
        return keras.ops.softmax(keras.ops.log(keras.ops.maximum(probabilities, LEAST)) / self.temperature, axis=-1)

    def compute_output_shape(self, shape: Any) -> Any:
        return shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}


class OutsideScore(keras.layers.Layer):
    """Features [batch, features] to distance / (distance + border), float32 [batch]; see `outside.Detector`.

    Part of exported networks only: the Keras file beside them ends in probabilities.
    """

    def __init__(self, detector: Detector, **kwargs: Any) -> None:
        super().__init__(dtype="float32", trainable=False, **kwargs)
        self._detector = detector

    def build(self, shape: Any) -> None:
        def kept(name: str) -> Any:
            value = getattr(self._detector, name)
            variable = self.add_weight(shape=value.shape, name=name, trainable=False, initializer="zeros")
            variable.assign(value)
            return variable

        self._mean, self._scale, self._directions = kept("mean"), kept("scale"), kept("directions")
        self._variances, self._residual, self._border = kept("variances"), kept("residual"), kept("border")

    def call(self, pooled: Any) -> Any:
        ops = keras.ops
        z = (pooled - self._mean) * self._scale
        along = ops.matmul(z, ops.transpose(self._directions))
        # Not |z|² - |along|²: what is left of two large numbers would be their rounding.
        beside = ops.sum(ops.square(z - ops.matmul(along, self._directions)), axis=1)
        distance = ops.sqrt((ops.mean(ops.square(along) / self._variances, axis=1) + beside / self._residual) / 2)
        return distance / (distance + self._border)

    def compute_output_shape(self, shape: Any) -> Any:
        return shape[:1]


class JointOutsideScore(keras.layers.Layer):
    """The members' scores, a list of [batch], to the ensemble's, float32 [batch]; see `outside.joint_scores`."""

    def __init__(self, shift: float, **kwargs: Any) -> None:
        super().__init__(dtype="float32", trainable=False, **kwargs)
        self._shift = shift

    def call(self, scores: list) -> Any:
        ops = keras.ops
        clipped = ops.clip(ops.stack(scores), SMALLEST, 1 - SMALLEST)
        return ops.sigmoid(ops.mean(ops.log(clipped) - ops.log(1 - clipped), axis=0) - self._shift)

    def compute_output_shape(self, shapes: Any) -> Any:
        return shapes[0]
