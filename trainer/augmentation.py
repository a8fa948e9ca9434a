"""Slight random changes of training images: one rotation, zoom and flip in a single interpolation."""

from __future__ import annotations

import math

import tensorflow as tf

from cxr.trainer.model_config import Augmentation


def changes_images(config: Augmentation) -> bool:
    """Whether the configuration changes images at all."""
    return bool(config.zoom or config.rotation or config.horizontal_flip)


def augment(image: tf.Tensor, config: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Rotates, zooms and perhaps mirrors an image about its centre.

    Args:
      image: float32 [height, width, channels].
      config: How much at most; the angle and the zoom factor are uniform within it.
      seed: int64 [2]. Equal seeds give equal changes, whatever else runs: an interrupted training resumes with the same pictures.

    Returns:
      float32 [height, width, channels]; what lies outside the image is its nearest border.
    """
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
