"""Slight random changes of training images: place and size, then grey levels, then what stands at the edge.

They are changes of what Transform yields, after its crop and its maps of grey levels.
"""

from __future__ import annotations

import math

import tensorflow as tf

from cxr.trainer import burnt_in, grey_changes
from cxr.trainer.model_config import Augmentation

# In this order: the picture is taken, then exported, then marked. Fields of Augmentation.
_CHANGES = {
    "blur": grey_changes.blur,
    "noise": grey_changes.noise,
    "exposure": grey_changes.exposure,
    "gamma": grey_changes.gamma,
    "border": burnt_in.border,
    "marker": burnt_in.marker,
}


def augment(image: tf.Tensor, config: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Changes an image at random.

    Args:
      image: float32 [side, side, channels] in [0, 1].
      config: How much at most.
      seed: int64 [2]. Equal seeds give equal changes, whatever else runs: an interrupted training resumes with the same pictures.

    Returns:
      float32 [side, side, channels] in [0, 1].
    """
    if config.zoom or config.rotation or config.horizontal_flip:
        image = _moved(image, config, seed)
    for number, (name, change) in enumerate(_CHANGES.items(), 1):
        if most := getattr(config, name):
            image = change(image, most, tf.random.experimental.stateless_fold_in(seed, number))
    return image


def _moved(image: tf.Tensor, config: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Rotates, zooms and perhaps mirrors about the centre, in one interpolation; what lies outside the image is its nearest border."""
    height, width, channels = image.shape
    draws = tf.random.stateless_uniform([3], seed, -1.0, 1.0)
    angle = draws[0] * (config.rotation * math.pi / 180)
    # The transform maps output to input coordinates, so that a zoom in by z reads from a share 1/z of the side.
    scale = 1.0 / (1.0 + draws[1] * config.zoom)
    mirror = tf.where(draws[2] > 0, -1.0, 1.0) if config.horizontal_flip else tf.constant(1.0)
    cos, sin = tf.cos(angle) * scale, tf.sin(angle) * scale
    cx, cy = (width - 1) / 2, (height - 1) / 2
    transform = tf.stack(
        [
            *(cos * mirror, -sin, cx - cos * mirror * cx + sin * cy),
            *(sin * mirror, cos, cy - sin * mirror * cx - cos * cy),
            *(tf.constant(0.0), tf.constant(0.0)),
        ]
    )
    changed = tf.raw_ops.ImageProjectiveTransformV3(
        images=image[tf.newaxis],
        transforms=transform[tf.newaxis],
        output_shape=tf.constant([height, width]),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )
    return tf.ensure_shape(changed[0], [height, width, channels])
