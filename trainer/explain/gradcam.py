"""Grad-CAM: which regions of an image speak for a class (Selvaraju et al., ICCV 2017, https://arxiv.org/abs/1610.02391).

Grad-CAM averages the gradient over the feature map: right where the head does so too (global pooling). A head that keeps a grid of pooled
cells weighs each cell by itself, and the average would smear its evidence over the picture. There the gradient is taken cell by cell:
HiResCAM (Draelos and Carin 2020, https://arxiv.org/abs/2011.08891), which for global pooling is the same as Grad-CAM.

The gradient goes from the scores back to the last feature map and no further: through the head alone, so that a map costs next to nothing
beside the prediction.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cxr.core import features
from cxr.trainer.models.backbones import LAYER as BACKBONE
from cxr.trainer.models.heads import GRID

ROUNDING = 1e-6  # of float32: evidence that is smaller than this share of what was added and taken off is none


def backbones_of(model: keras.Model, name: str) -> dict[str, keras.Model]:
    """Returns the models with one backbone each: an ensemble's members by their names, or the model itself under the name given."""
    names = [layer.name for layer in model.layers]
    members = [name for name in names if features.MEMBER_PROBABILITIES.format(member=name) in names]
    return {name: model.get_layer(name) for name in members} or {name: model}


class GradCam:
    """Grad-CAM of one model; building it takes seconds for the largest backbones, so keep it for many images.

    Attributes:
      front: Images to the last feature map.
    """

    def __init__(self, model: keras.Model) -> None:
        """Prepares a model; it shares its weights.

        Args:
          model: With one backbone, see `backbones_of`.

        Raises:
          ValueError: It has no layer named "backbone".
        """
        if BACKBONE not in [layer.name for layer in model.layers]:
            raise ValueError(f"{model.name}: no layer named {BACKBONE!r}, Grad-CAM needs its feature map")
        maps: list[Any] = []
        scored = _without_softmax(model, maps)
        self.front = keras.Model(scored.inputs[0], maps[0])
        self._head = keras.Model(maps[0], scored.output)
        self._by_cell = GRID in [layer.name for layer in model.layers]

    def __call__(self, images: npt.ArrayLike, class_index: npt.ArrayLike | None = None) -> npt.NDArray[np.float32]:
        """Computes how strongly each region speaks for a class.

        Args:
          images: float32 [batch, height, width, 3] in [0, 1].
          class_index: One class for all images, or one per image; None: the class that the model predicts.

        Returns:
          float32 [batch, rows, columns] in [0, 1], at the feature map's resolution; all zero where no region speaks for the class.

        Raises:
          ValueError: The model has no such class.
        """
        maps = self.front(tf.convert_to_tensor(images, tf.float32), training=False)
        scores = self._head(maps, training=False)
        classes = tf.argmax(scores, axis=1) if class_index is None else tf.broadcast_to(tf.cast(class_index, tf.int64), tf.shape(maps)[:1])
        if np.any((np.asarray(classes) < 0) | (np.asarray(classes) >= scores.shape[1])):
            raise ValueError(f"class_index {np.asarray(class_index)}: the model has {scores.shape[1]} classes, counted from 0")
        return np.asarray(self.heat(maps, classes), np.float32)

    def heat(self, maps: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
        """Computes the heat maps of feature maps; may be traced.

        With A the feature map and y the class's score before the softmax: ReLU(sum_k a_k A_k), where a_k is the mean of dy/dA_k over the
        map (equations 1 and 2 of the paper), or dy/dA_k itself where the head keeps a grid (HiResCAM), divided by its maximum.

        Args:
          maps: [batch, rows, columns, channels], of `front`; any floating-point type.
          classes: int64 [batch], from 0.

        Returns:
          [batch, rows, columns] in [0, 1], of the same type; all zero where no region speaks for the class.
        """
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(maps)
            scores = self._head(maps, training=False)
        # Of the chosen class alone: in a graph this takes one node, and the gradient of choosing by `tf.gather` a hundred.
        weights = tape.gradient(scores, maps, output_gradients=tf.one_hot(classes, scores.shape[1], dtype=scores.dtype))
        if not self._by_cell:
            weights = tf.reduce_mean(weights, axis=(1, 2), keepdims=True)
        terms = weights * maps
        evidence = tf.reduce_sum(terms, axis=3)
        least = ROUNDING * tf.reduce_max(tf.reduce_sum(tf.abs(terms), axis=3), axis=(1, 2), keepdims=True)
        return normalized(tf.where(evidence > least, evidence, tf.zeros_like(evidence)))


def normalized(heat: tf.Tensor) -> tf.Tensor:
    """Divides each map of [batch, rows, columns], none of them negative, by its maximum; a map of zeros stays one."""
    return tf.math.divide_no_nan(heat, tf.reduce_max(heat, axis=(1, 2), keepdims=True))


def _without_softmax(model: keras.Model, maps: list[Any]) -> keras.Model:
    """Returns a model of the same layers that ends before the softmax; puts the backbone's output into `maps`."""
    last = model.layers[-1]

    def call(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
        if layer is last and isinstance(layer, keras.Model):
            return _without_softmax(layer, maps)(*args, **kwargs)
        if layer is last and getattr(layer, "activation", None) is keras.activations.softmax:
            if isinstance(layer, keras.layers.Dense):
                return keras.ops.add(keras.ops.matmul(args[0], layer.kernel), layer.bias)
            return args[0]  # an Activation layer
        output = layer(*args, **kwargs)
        if layer.name == BACKBONE:
            maps.append(output)
        return output

    return keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)
