"""Random changes of grey levels that another device or export makes: exposure, gamma, blur and noise.

In plain TensorFlow with seeds of its own making: Keras's layers of these names draw from generators with a state, and an interrupted
training could not go on with the pictures that it would have seen.

Each takes float32 [height, width, channels] in [0, 1], the largest change, and a seed (int64 [2]), and gives an image of the same kind.
"""

from __future__ import annotations

import math

import tensorflow as tf


def exposure(image: tf.Tensor, most: float, seed: tf.Tensor) -> tf.Tensor:
    """Moves level and width of the window, each by a share within `most`, as another exposure or reader does."""
    wider, brighter = tf.unstack(tf.random.stateless_uniform([2], seed, -most, most))
    return tf.clip_by_value((image - 0.5) * (1 + wider) + 0.5 + brighter, 0, 1)


def gamma(image: tf.Tensor, most: float, seed: tf.Tensor) -> tf.Tensor:
    """Raises to a power between 1 / (1 + most) and 1 + most; an exponent and its inverse are equally likely."""
    return tf.pow(image, tf.pow(1 + most, tf.random.stateless_uniform([], seed, -1.0, 1.0)))


def blur(image: tf.Tensor, most: float, seed: tf.Tensor) -> tf.Tensor:
    """Convolves with a Gaussian of a standard deviation within `most` pixels; the picture is mirrored at its edges."""
    radius = math.ceil(3 * most)
    sigma = tf.random.stateless_uniform([], seed, 0.0, most)
    offsets = tf.range(-radius, radius + 1, dtype=tf.float32)
    weights = tf.nn.softmax(-0.5 * tf.square(offsets / tf.maximum(sigma, 1e-3)))
    channels = image.shape[2]
    padded = tf.pad(image, [[radius, radius], [radius, radius], [0, 0]], "SYMMETRIC")[tf.newaxis]
    for shape in ([-1, 1, 1, 1], [1, -1, 1, 1]):
        kernel = tf.tile(tf.reshape(weights, shape), [1, 1, channels, 1])
        padded = tf.nn.depthwise_conv2d(padded, kernel, [1, 1, 1, 1], "VALID")
    return tf.ensure_shape(padded[0], image.shape)


def noise(image: tf.Tensor, most: float, seed: tf.Tensor) -> tf.Tensor:
    """Adds Gaussian noise of a standard deviation within `most`, the same to all channels: the picture is grey."""
    deviation = tf.random.stateless_uniform([], seed, 0.0, most)
    drawn = tf.random.stateless_normal([*image.shape[:2], 1], tf.random.experimental.stateless_fold_in(seed, 1))
    return tf.clip_by_value(image + deviation * drawn, 0, 1)
