"""Grad-CAM: which regions of an image speak for a class (Selvaraju et al., ICCV 2017, https://arxiv.org/abs/1610.02391).

Grad-CAM averages the gradient over the feature map: right where the head does so too (global pooling). A head that keeps a grid of pooled
cells weighs each cell by itself, and the average would smear its evidence over the picture. There the gradient is taken cell by cell:
HiResCAM (Draelos and Carin 2020, https://arxiv.org/abs/2011.08891), which for global pooling is the same as Grad-CAM.
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


def backbones_of(model: keras.Model, name: str) -> dict[str, keras.Model]:
    """Returns the models with one backbone each: an ensemble's members by their names, or the model itself under the name given."""
    names = [layer.name for layer in model.layers]
    members = [name for name in names if features.MEMBER_PROBABILITIES.format(member=name) in names]
    return {name: model.get_layer(name) for name in members} or {name: model}


class GradCam:
    """Grad-CAM of one model; building it takes seconds for the largest backbones, so keep it for many images."""

    def __init__(self, model: keras.Model) -> None:
        """Prepares a model.

        Args:
          model: With one backbone, see `backbones_of`.

        Raises:
          ValueError: It has no layer named "backbone".
        """
        self._scored = _scored(model)
        self._by_cell = GRID in [layer.name for layer in model.layers]

    def __call__(self, images: npt.ArrayLike, class_index: npt.ArrayLike | None = None) -> npt.NDArray[np.float32]:
        """Computes how strongly each region speaks for a class.

        With A the last feature map and y the class's score before the softmax: ReLU(sum_k a_k A_k), where a_k is the mean of dy/dA_k
        over the map (equations 1 and 2 of the paper), or dy/dA_k itself where the head keeps a grid (HiResCAM), divided by its maximum.

        Args:
          images: float32 [batch, height, width, 3] in [0, 1].
          class_index: One class for all images, or one per image; None: the class that the model predicts.

        Returns:
          float32 [batch, rows, columns] in [0, 1], at the feature map's resolution; all zero where no region speaks for the class.

        Raises:
          ValueError: The model has no such class.
        """
        batch = tf.convert_to_tensor(images, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(batch)  # the weights may be frozen, and then nothing else would be recorded
            maps, scores = self._scored(batch, training=False)
            classes = (
                tf.argmax(scores, axis=1) if class_index is None else tf.broadcast_to(tf.cast(class_index, tf.int64), tf.shape(batch)[:1])
            )
            if np.any((np.asarray(classes) < 0) | (np.asarray(classes) >= scores.shape[1])):
                raise ValueError(f"class_index {np.asarray(class_index)}: the model has {scores.shape[1]} classes, counted from 0")
            score = tf.gather(scores, classes, axis=1, batch_dims=1)
        weights = tape.gradient(score, maps)
        if not self._by_cell:
            weights = tf.reduce_mean(weights, axis=(1, 2), keepdims=True)
        heat = np.asarray(tf.nn.relu(tf.reduce_sum(weights * maps, axis=3)), dtype=np.float32)
        most = heat.max(axis=(1, 2), keepdims=True)
        return np.divide(heat, most, out=np.zeros_like(heat), where=most > 0)


def _scored(model: keras.Model) -> keras.Model:
    """Returns a model of the same layers: images -> [last feature map, scores before the softmax]."""
    if BACKBONE not in [layer.name for layer in model.layers]:
        raise ValueError(f"{model.name}: no layer named {BACKBONE!r}, Grad-CAM needs its feature map")
    maps: list[Any] = []
    same = _without_softmax(model, maps)
    return keras.Model(same.inputs, [maps[0], same.output])


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
