"""What training minimises, and how."""

from __future__ import annotations

import keras
import numpy as np
import numpy.typing as npt

from cxr.trainer.model_config import Loss, Optimizer


def make_loss(loss: Loss) -> keras.losses.Loss:
    """Returns the loss between one-hot labels and probabilities, both [batch, classes]."""
    if loss.name == "mean_squared_error":
        return keras.losses.MeanSquaredError()
    return keras.losses.CategoricalCrossentropy(label_smoothing=loss.label_smoothing)


def make_optimizer(optimizer: Optimizer) -> keras.optimizers.Optimizer:
    """Returns a new optimizer."""
    if optimizer.name == "adamw":
        return keras.optimizers.AdamW(optimizer.learning_rate, weight_decay=optimizer.weight_decay)
    return keras.optimizers.Adam(optimizer.learning_rate)


def balanced_class_weights(labels: npt.NDArray[np.int64], classes: int) -> dict[int, float]:
    """Weighs each class by its inverse frequency, images / (classes * images of the class), so that the mean weight is 1.

    Args:
      labels: [images]; every class stands in it at least once.
      classes: How many.
    """
    counts = np.bincount(labels, minlength=classes)
    return {i: float(len(labels) / (classes * count)) for i, count in enumerate(counts)}
