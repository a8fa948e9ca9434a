"""What training minimises, how, and how much each image counts."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cxr.trainer import devices
from cxr.trainer.model_config import Loss, Model, Optimizer

FEW = 16  # variables: for the two of a head XLA compiles for longer (0.8 s) than it saves


def make_loss(loss: Loss) -> keras.losses.Loss:
    """Returns the loss between one-hot labels and probabilities, both [batch, classes]."""
    if loss.name == "mean_squared_error":
        return keras.losses.MeanSquaredError()
    return keras.losses.CategoricalCrossentropy(label_smoothing=loss.label_smoothing)


def make_optimizer(optimizer: Optimizer) -> keras.optimizers.Optimizer:
    """Returns a new optimizer; where float16 is computed in, one that scales the loss."""
    if optimizer.name == "adamw":
        made = keras.optimizers.AdamW(optimizer.learning_rate, weight_decay=optimizer.weight_decay)
    else:
        made = keras.optimizers.Adam(optimizer.learning_rate)
    if keras.config.dtype_policy().compute_dtype == "float16":
        made = _SharedLossScale(made, name="loss_scale")
    # not where several devices share a step: Keras adds up their gradients between two parts of it
    return _compiled(made) if devices.has_gpu() and not tf.distribute.has_strategy() else made


def _compiled(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Has XLA make one operation of a change of all weights, where Keras has some 45 for each of them.

    A GPU does them sooner than TensorFlow can ask for the next: DenseNet201 has 9,000. On a CPU XLA's would be the slower.
    """
    apply = optimizer.apply

    def at_once(grads: Sequence[tf.Tensor], trainable_variables: Sequence[keras.Variable] | None = None) -> None:
        if not optimizer.built:  # before XLA's function: the loss is scaled by a variable only where that is there
            optimizer.build(trainable_variables)
        if len(grads) < FEW:
            apply(grads, trainable_variables)
            return
        tf.function(lambda given: apply(given, trainable_variables), jit_compile=True, autograph=False)(list(grads))

    optimizer.apply = at_once
    return optimizer


class _SharedLossScale(keras.optimizers.LossScaleOptimizer):
    """Leaves a step out where the gradients of any device are too large for float16.

    Keras's own, which `compile` would take, looks at the gradients of the first device alone (3.15), before they are added up: what is too
    large on another makes infinity or NaN of every weight.
    """

    def check_finite(self, grads: Sequence[tf.Tensor | None]) -> tf.Tensor:
        """Tells whether all gradients are finite numbers on every device, bool []."""
        lost = tf.cast(tf.logical_not(super().check_finite(grads)), tf.float32)
        return tf.equal(tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, lost), 0)


def image_weights(
    config: Model, labels: npt.NDArray[np.int64], sources: npt.NDArray[np.str_], classes: int
) -> npt.NDArray[np.float32] | None:
    """Returns how much each training image counts, [images] with a mean of 1; None: all the same.

    Args:
      config: `class_weights` and `source_weights` are used.
      labels: [images]; every class stands in it at least once.
      sources: [images].
      classes: How many.
    """
    if not (config.class_weights or config.source_weights):
        return None
    weights = np.ones(len(labels))
    if config.source_weights:
        weights *= balanced_source_weights(labels, sources)
    if config.class_weights:
        weights *= balanced_class_weights(labels, classes)[labels]
    return weights.astype(np.float32)


def balanced_source_weights(labels: npt.NDArray[np.int64], sources: npt.NDArray[np.str_]) -> npt.NDArray[np.float64]:
    """Weighs images so that in each class every source that has it weighs the same.

    An image weighs (images of its class) / (sources of its class * images of its class and source), so that the mean weight of each class
    is 1. Few images of a source then weigh much each.

    Args:
      labels: [images].
      sources: [images].
    """
    weights = np.ones(len(labels))
    for label in np.unique(labels):
        own = labels == label
        _, which, counts = np.unique(sources[own], return_inverse=True, return_counts=True)
        weights[own] = own.sum() / (len(counts) * counts[which])
    return weights


def from_one_source(labels: npt.NDArray[np.int64], sources: npt.NDArray[np.str_], class_names: Sequence[str]) -> dict[str, str]:
    """Returns the classes that one source alone has, and that source: no weights can tell the one from the other.

    Args:
      labels: [images], positions among the class names.
      sources: [images].
      class_names: In the order of the labels.
    """
    of_class = {name: np.unique(sources[labels == number]) for number, name in enumerate(class_names)}
    return {name: str(found[0]) for name, found in of_class.items() if len(found) == 1}


def balanced_class_weights(labels: npt.NDArray[np.int64], classes: int) -> npt.NDArray[np.float64]:
    """Weighs each class, [classes], by its inverse frequency, images / (classes * images of the class): the images' mean weight is 1.

    Args:
      labels: [images]; every class stands in it at least once.
      classes: How many.
    """
    return len(labels) / (classes * np.bincount(labels, minlength=classes))
