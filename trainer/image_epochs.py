"""Epochs of training images: batches for a network that learns as a whole.

The order of a training epoch is a function of the seed and the epoch's number alone, so that training resumed after an interruption
sees what it would have seen.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cxr.trainer import decoded_images
from cxr.trainer.augmentation import augment
from cxr.trainer.encoded_images import EncodedImages
from cxr.trainer.model_config import Augmentation
from cxr.trainer.splits import Split

KEPT_BYTES = 2**30  # of a split's decoded images, on disk, where twice that is free: 1,800 of 380 by 380 pixels, 5,300 of 224 by 224


@dataclass(frozen=True)
class EpochOrder:
    """Which epochs, in which order."""

    first: int  # epochs that are behind us
    epochs: int
    batch_size: int
    seed: int
    full: bool = False  # the last batch of an epoch is filled up, with images that weigh nothing


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Batches of an epoch; the last may be smaller, no image is left out."""
    return math.ceil(count / batch_size)


def image_epochs(
    split: Split,
    classes: int,
    decode: decoded_images.Decoder,
    augmentation: Augmentation,
    order: EpochOrder,
    weights: npt.NDArray[np.float32] | None = None,
) -> tf.data.Dataset:
    """Yields shuffled batches of images for fine-tuning, all epochs in a row. An image is decoded once, where there is room for all.

    Args:
      split: The images.
      classes: How many.
      decode: Of one image. Transform's channels are the same grey three times over.
      augmentation: Drawn anew in every epoch.
      order: Of the epochs.
      weights: [images], how much each counts; None: all the same.

    Returns:
      float32 [batch, size, size, 3], one-hot [batch, classes], and [batch] of the weights where there are any or a batch is filled up.
    """
    images, whole = decoded_once(split.images, decode) if order.epochs - order.first > 1 else (split.images, decode)
    grey, encoded, targets = _grey(whole), decoded_images.reader(images), _targets(split.labels, classes, weights)
    count, missing = len(split), -len(split) % order.batch_size

    def indices(epoch: tf.Tensor) -> tf.data.Dataset:
        numbers = shuffled(count, tf.constant(order.seed, tf.int64), epoch)
        filled = tf.concat([numbers, tf.gather(numbers, tf.range(missing) % count)], axis=0)
        return tf.data.Dataset.from_tensor_slices((tf.fill([count + missing], epoch), filled))

    def element(epoch: tf.Tensor, index: tf.Tensor) -> tuple[tf.Tensor, ...]:
        image = grey(encoded(index))
        if augmentation.changes_images:
            image = augment(image, augmentation, tf.stack([order.seed + epoch, index]))
        return tf.repeat(image, 3, axis=2), *(target[index] for target in targets)

    # One pipeline over all epochs: one for each would begin each with a GPU that waits.
    data = tf.data.Dataset.range(order.first, order.epochs).flat_map(indices)
    data = data.map(element, tf.data.AUTOTUNE, deterministic=True).batch(order.batch_size)
    if missing:
        steps, ended = steps_per_epoch(count, order.batch_size), _weighed if order.full else _cut
        data = data.enumerate().map(lambda number, batch: ended(batch, number % steps == steps - 1, missing))
    options = tf.data.Options()
    # One in-memory source has no files to share out among several GPUs: each takes its slice of every batch.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return data.with_options(options).prefetch(tf.data.AUTOTUNE)


def decoded_once(images: EncodedImages, decode: decoded_images.Decoder) -> tuple[EncodedImages, decoded_images.Decoder]:
    """Decodes images that are wanted in several epochs, and keeps their grey levels as `EncodedImages` are kept.

    Args:
      images: Encoded.
      decode: Of one image. Transform's channels are the same grey three times over.

    Returns:
      What to read from, and what makes the same images of it; what was given where `KEPT_BYTES` or the disk do not hold them.
    """
    grey = _grey(decode)
    shape = grey(tf.constant(images[0])).shape
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if len(images) * shape.num_elements() * tf.float32.size > min(KEPT_BYTES, free / 2):
        return images, decode
    levels = decoded_images.in_order(images, grey, augmentation=Augmentation()).prefetch(tf.data.AUTOTUNE)
    kept = EncodedImages.of(image.numpy().tobytes() for image in levels)
    return kept, lambda raw: tf.repeat(tf.reshape(tf.io.decode_raw(raw, tf.float32), shape), 3, axis=2)


def shuffled(count: int, seed: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
    """Returns the order of an epoch's images, int64 [count]; seed and number of the epoch are int64 []."""
    return tf.random.experimental.stateless_shuffle(tf.range(count, dtype=tf.int64), tf.stack([seed, epoch]))


def _targets(labels: npt.NDArray[np.int64], classes: int, weights: npt.NDArray[np.float32] | None) -> list[tf.Tensor]:
    """What goes with each image: its class, one-hot [images, classes], and its weight, if it has one, [images]."""
    one_hot = tf.constant(np.eye(classes, dtype=np.float32)[labels])
    return [one_hot] if weights is None else [one_hot, tf.constant(weights, tf.float32)]


def _grey(decode: decoded_images.Decoder) -> decoded_images.Decoder:
    return lambda image: decode(image)[..., :1]


def _cut(batch: tuple[tf.Tensor, ...], last: tf.Tensor, missing: int) -> tuple[tf.Tensor, ...]:
    """Takes away what fills up an epoch's last batch."""
    size = tf.shape(batch[0])[0]
    return tuple(part[: tf.where(last, size - missing, size)] for part in batch)


def _weighed(batch: tuple[tf.Tensor, ...], last: tf.Tensor, missing: int) -> tuple[tf.Tensor, ...]:
    """Adds weights to a batch: in an epoch's last one, nothing for the images that fill it up, and the more for the others.

    Keras divides by the number of images, whatever they weigh: so the others weigh on average what they would in a smaller batch.
    """
    inputs, one_hot, *weights = batch
    size = tf.shape(one_hot)[0]
    own = tf.cast(tf.range(size) < size - missing, tf.float32)
    counts = tf.where(last, own / tf.reduce_mean(own), tf.ones_like(own))
    return inputs, one_hot, counts * weights[0] if weights else counts
