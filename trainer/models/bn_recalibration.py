"""Batch normalisation statistics of a network, taken anew from images.

A network with random weights has moving statistics of mean 0 and variance 1, which are those of no layer: its signals die or explode
with depth. With the statistics of the training images it is a usable random projection, at the price of one pass over some of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import keras
import numpy as np
import tensorflow as tf

from cxr.core import progress
from cxr.core.errors import CxrError
from cxr.trainer import grappler
from cxr.trainer.models.backbones import all_layers

MAX_IMAGES = 256  # of a 7x7 feature map these are 12,500 values per channel
BATCH = 32


def batch_norm_layers(network: keras.Model) -> list[keras.layers.BatchNormalization]:
    """Returns a network's batch normalisation layers, nested ones too."""
    return [layer for layer in all_layers(network) if isinstance(layer, keras.layers.BatchNormalization)]


def recalibrate_channels(model: keras.Model, network: keras.Model, batches: Iterable[tf.Tensor], count: int) -> None:
    """Replaces the moving statistics by those of the images.

    Layer by layer consistent: each layer sees what the layers before it yield when they normalise by the batch. Over the batches, means are
    averaged and variances pooled (law of total variance: mean of the variances plus variance of the means).

    Args:
      model: Takes the images; contains `network`.
      network: Whose statistics are replaced. Its other weights stay, and dropout is off meanwhile.
      batches: float32 [batch, height, width, 3], all of one size.
      count: How many batches there are, for the progress report.

    Raises:
      CxrError: No batch, or a statistic that is no finite number.
    """
    layers = batch_norm_layers(network)
    if not layers:
        return
    moments: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in layers]
    with _batch_moments_only(network, layers):
        forward = tf.function(lambda images: tf.reduce_sum(model(images, training=True)), autograph=False, reduce_retracing=True)
        for done, images in enumerate(batches, 1):
            forward(images)
            for collected, layer in zip(moments, layers, strict=True):
                collected.append((np.array(layer.moving_mean, np.float64), np.array(layer.moving_variance, np.float64)))
            progress.report("batch statistics", done, count)
    if not moments[0]:
        raise CxrError("bn_recalibration: per_channel: there are no training images")
    for collected, layer in zip(moments, layers, strict=True):
        means, variances = (np.stack(values) for values in zip(*collected, strict=True))
        mean, variance = means.mean(axis=0), variances.mean(axis=0) + means.var(axis=0)
        if not (np.isfinite(mean).all() and np.isfinite(variance).all()):
            raise CxrError(f"bn_recalibration: per_channel: {layer.name} yields numbers that are not finite; check images and weights")
        layer.moving_mean.assign(mean.astype(np.float32))
        layer.moving_variance.assign(variance.astype(np.float32))


def recalibrate_layers(model: keras.Model, network: keras.Model, images: tf.Tensor) -> None:
    """Replaces the moving statistics by one number per layer: mean 0, and for all channels the layer's mean square over the images.

    Layer-sequential unit variance (Mishkin and Matas 2016, https://arxiv.org/abs/1511.06422) through batch normalisation: signals neither
    die nor explode with depth, and the channels keep their means and their relative strength, which `per_channel` levels. In a random
    network it is these that tell pictures apart.

    Args:
      model: Takes the images; contains `network`.
      network: Whose statistics are replaced; its other weights stay.
      images: float32 [batch, height, width, 3].

    Raises:
      CxrError: A statistic that is no finite positive number.
    """
    stand_ins = {id(layer): _UnitMeanSquare(layer) for layer in batch_norm_layers(network)}
    # The same model with the same weights, but for these layers.
    measuring = keras.models.clone_model(model, clone_function=lambda layer: stand_ins.get(id(layer), layer), recursive=True)
    # A graph frees each activation after its last use; called eagerly, a Keras model holds all of them (16 GB for EfficientNetB7).
    with grappler.switched_on(grappler.UNOPTIMISED):
        tf.function(lambda batch: tf.reduce_sum(measuring(batch, training=False)), autograph=False)(images)
    for stand_in in stand_ins.values():
        stand_in.hand_over()


class _UnitMeanSquare(keras.layers.Layer):
    """Stands in for a batch normalisation: divides by the root mean square of all it is given, and remembers the mean square."""

    def __init__(self, layer: keras.layers.BatchNormalization) -> None:
        super().__init__(dtype=layer.dtype_policy)
        self._layer = layer
        # Zeros draw nothing: the head starts the same whether statistics are computed or were kept.
        self._square = self.add_weight(shape=(), initializer="zeros", dtype="float32", autocast=False, trainable=False, name="square")

    def call(self, x: tf.Tensor, mask: None = None) -> tf.Tensor:
        layer, values = self._layer, tf.cast(x, tf.float32)
        square = tf.reduce_mean(tf.square(values))
        self._square.assign(square)
        return tf.cast(tf.nn.batch_normalization(values, 0.0, square, layer.beta, layer.gamma, layer.epsilon), x.dtype)

    def hand_over(self) -> None:
        layer, square = self._layer, self._square.numpy()
        if not 0 < square < np.inf:
            raise CxrError(f"bn_recalibration: {layer.name} yields nothing, or no finite numbers; check images and weights")
        layer.moving_mean.assign(tf.zeros_like(layer.moving_mean))
        layer.moving_variance.assign(tf.fill(layer.moving_variance.shape, square))


@contextlib.contextmanager
def _batch_moments_only(network: keras.Model, layers: list[keras.layers.BatchNormalization]) -> Iterator[None]:
    """With momentum 0 the moving statistics are those of the last batch. Frozen layers would ignore training mode."""
    changed = [(layer, "momentum", 0.0) for layer in layers] + [(layer, "trainable", True) for layer in layers]
    changed += [(layer, name, 0.0) for layer in all_layers(network) for name in ("rate", "drop_path_rate") if hasattr(layer, name)]
    before = [(layer, name, getattr(layer, name)) for layer, name, _ in changed]
    try:
        for layer, name, value in changed:
            setattr(layer, name, value)
        yield
    finally:
        for layer, name, value in before:
            setattr(layer, name, value)
