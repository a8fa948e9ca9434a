"""From an image in [0, 1] to what a backbone's weights expect.

What they expect is read from Keras itself: each `preprocess_input` is an affine function of a pixel's three channels, perhaps with
their order reversed, so that its values at black and at the three pure colours say all about it. No table of backbones has to be kept true.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np


@keras.saving.register_keras_serializable(package="cxr")
class ReverseChannels(keras.layers.Layer):
    """RGB to BGR: the order of the older weights (`caffe`)."""

    def call(self, images: Any) -> Any:
        """Reverses the last axis of [batch, height, width, 3]."""
        return images[..., ::-1]

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape stays as it is."""
        return input_shape


def adapter_layers(preprocess_input: Callable[[Any], Any]) -> list[keras.layers.Layer]:
    """Returns the layers that do to [0, 1] what `preprocess_input` does to [0, 255].

    Args:
      preprocess_input: Of a module of keras.applications; the identity where the backbone rescales by itself.

    Raises:
      ValueError: It is no affine function that keeps or reverses the channels.
    """
    colours = np.concatenate([np.zeros([1, 3]), 255 * np.eye(3)]).astype(np.float32)
    black, *pure = np.asarray(preprocess_input(colours.reshape(4, 1, 1, 3).copy())).reshape(4, 3).astype(np.float64)
    matrix = np.stack([value - black for value in pure])  # [channel in, channel out], per unit of [0, 1]
    kept, reversed_ = np.diag(matrix), np.diag(matrix[::-1])[::-1]  # factor of each channel that goes in
    scale, layers = kept, []
    if not np.allclose(matrix, np.diag(kept)):
        if not np.allclose(matrix[:, ::-1], np.diag(reversed_)):
            raise ValueError(f"{preprocess_input.__module__}.preprocess_input mixes channels; give this backbone an adapter of its own")
        layers, scale = [ReverseChannels(name="bgr", dtype="float32")], reversed_[::-1]
    return [*layers, keras.layers.Rescaling(_short(scale), _short(black), name="adapter", dtype="float32")]


def _short(values: np.ndarray) -> float | list[float]:
    """One number where the three are the same."""
    numbers = [float(v) for v in values]
    return numbers[0] if np.ptp(values) < 1e-6 else numbers
