"""Encoded images, decoded one after the other: as they are, then augmented."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cxr.trainer.augmentation import augment
from cxr.trainer.encoded_images import EncodedImages
from cxr.trainer.model_config import Augmentation

Decoder = Callable[[tf.Tensor], tf.Tensor]  # one image, string [] -> float32 [size, size, 3] in [0, 1]


def in_order(
    images: EncodedImages,
    decode: Decoder,
    *,
    augmentation: Augmentation,
    variants: int = 0,
    seed: int = 0,
    numbers: npt.NDArray[np.int64] | None = None,
) -> tf.data.Dataset:
    """Yields every image as it is, then each augmented variant of all of them.

    Args:
      images: Encoded.
      decode: Of one image.
      augmentation: What the variants differ by.
      variants: Augmented passes over the images.
      seed: Of the variants.
      numbers: The elements that are wanted, counted from 0; None: all.

    Returns:
      (1 + variants) * images elements, or one for each of the numbers, float32 [size, size, 3] in [0, 1].
    """
    encoded, seed_value = reader(images), tf.constant(seed, tf.int64)

    def changed(grey: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        return tf.repeat(augment(grey, augmentation, tf.stack([seed_value, number])), 3, axis=2)

    def decoded(number: tf.Tensor) -> tf.Tensor:
        image = decode(encoded(number % len(images)))
        if not variants:
            return image
        return tf.cond(number < len(images), lambda: image, lambda: changed(image[..., :1], number))

    if numbers is None:
        numbers = np.arange((1 + variants) * len(images))
    return tf.data.Dataset.from_tensor_slices(numbers).map(decoded, tf.data.AUTOTUNE, deterministic=True)


def reader(images: EncodedImages) -> Callable[[tf.Tensor], tf.Tensor]:
    """Makes what reads an image within a dataset: position, int64 [] -> string []."""

    def read(index: tf.Tensor) -> tf.Tensor:
        image = tf.numpy_function(lambda at: images[at], [index], tf.string, stateful=False)
        image.set_shape([])
        return image

    return read
