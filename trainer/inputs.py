"""Raw examples to training batches.

The encoded images of a split (10 to 30 KB each for the JPEGs that `cxr ingest` writes) wait in a temporary file, so that memory does not
grow with them; what is said of them is held.
The order of a training epoch is a function of the seed and the epoch's number alone, so that training resumed after an interruption
sees what it would have seen.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cxr.core import features
from cxr.core.errors import CxrError
from cxr.data.example_columns import columns, files_of
from cxr.trainer.augmentation import augment
from cxr.trainer.encoded_images import EncodedImages
from cxr.trainer.model_config import Augmentation
from cxr.trainer.transform_graph import TransformGraph

KEPT_BYTES = 2**30  # of a split's decoded images, on disk, where twice that is free: 1,800 of 380 by 380 pixels, 5,300 of 224 by 224
Decoder = Callable[[tf.Tensor], tf.Tensor]  # one image, string [] -> float32 [size, size, 3] in [0, 1]


@dataclass(frozen=True)
class Split:
    """The examples of one split, sorted by content hash (shards come in any order)."""

    images: EncodedImages  # [images]
    labels: npt.NDArray[np.int64]  # [images], positions among the class names
    content_hash: npt.NDArray[np.str_]  # [images]
    patients: npt.NDArray[np.str_]  # [images], pseudonyms; an image without one is a patient of its own
    sources: npt.NDArray[np.str_]  # [images], the collections that they come from
    licenses: npt.NDArray[np.str_]  # [images], features.UNKNOWN where not stated

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def synthetic(self) -> int:
        """How many of them were made up."""
        return int(np.sum(self.sources == features.SYNTHETIC))

    def take(self, which: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> Split:
        """Returns some of the examples, by position or by mask."""
        return Split(
            self.images[which],
            self.labels[which],
            self.content_hash[which],
            self.patients[which],
            self.sources[which],
            self.licenses[which],
        )


@dataclass(frozen=True)
class EpochOrder:
    """Which epochs, in which order."""

    first: int  # epochs that are behind us
    epochs: int
    batch_size: int
    seed: int
    full: bool = False  # the last batch of an epoch is filled up, with images that weigh nothing


def read_split(patterns: Sequence[str], transform: TransformGraph) -> Split:
    """Reads TFRecords of raw examples.

    Args:
      patterns: File patterns; files that end in .gz are decompressed.
      transform: Numbers the labels.

    Raises:
      CxrError: No file, a damaged one, or an example without image, label or content hash, or with an unknown label.
    """
    files = files_of(patterns)
    if not files:
        raise CxrError(f"{', '.join(patterns) or 'no pattern given'}: no TFRecords of examples")
    defaults = {
        features.IMAGE: None,
        features.LABEL: None,
        features.CONTENT_HASH: None,
        features.PATIENT_ID: "",
        features.SOURCE: features.UNKNOWN,
        features.LICENSE: features.UNKNOWN,
    }
    labels: list[bytes] = []
    # What differs from image to image is held in arrays, where a string is its characters only.
    hashes: list[npt.NDArray[np.bytes_]] = [np.empty(0, np.bytes_)]
    patients: list[npt.NDArray[np.bytes_]] = [np.empty(0, np.bytes_)]
    sources: list[bytes] = []
    licenses: list[bytes] = []
    once: dict[bytes, bytes] = {}  # few values that all examples share: memory holds each once

    def encoded() -> Iterator[bytes]:
        for encoded_images, label, content_hash, patient, source, license_ in columns(files, defaults):
            hashes.append(content_hash.astype(np.bytes_))
            patients.append(patient.astype(np.bytes_))
            for column, values in ((labels, label), (sources, source), (licenses, license_)):
                column.extend(once.setdefault(value, value) for value in values)
            yield from encoded_images

    images = EncodedImages.of(encoded())
    indices = transform.label_indices(tf.constant(labels, tf.string)).numpy()
    if unknown := sorted(label.decode() for label, index in zip(labels, indices, strict=True) if index < 0):
        raise CxrError(f"{files[0]}: label {unknown[0]!r} is none of {', '.join(transform.class_names)}; set data.class_names")
    content, known = np.concatenate(hashes), np.concatenate(patients)
    order = np.lexsort((np.array(labels, np.bytes_), content))
    described = (content, np.where(known == b"", content, known), np.array(sources, np.bytes_), np.array(licenses, np.bytes_))
    return Split(images[order], indices[order], *(_decoded(column[order]) for column in described))


def _decoded(column: npt.NDArray[np.bytes_]) -> npt.NDArray[np.str_]:
    try:
        return column.astype(np.str_)
    except UnicodeDecodeError:  # not ASCII: by way of Python's strings, which take more room
        return np.char.decode(column, "utf-8")


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Batches of an epoch; the last may be smaller, no image is left out."""
    return math.ceil(count / batch_size)


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
    encoded, seed_value = _reader(images), tf.constant(seed, tf.int64)

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


def image_epochs(
    split: Split,
    classes: int,
    decode: Decoder,
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
    grey, encoded, targets = _grey(whole), _reader(images), _targets(split.labels, classes, weights)
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


def decoded_once(images: EncodedImages, decode: Decoder) -> tuple[EncodedImages, Decoder]:
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
    levels = in_order(images, grey, augmentation=Augmentation()).prefetch(tf.data.AUTOTUNE)
    kept = EncodedImages.of(image.numpy().tobytes() for image in levels)
    return kept, lambda raw: tf.repeat(tf.reshape(tf.io.decode_raw(raw, tf.float32), shape), 3, axis=2)


def shuffled(count: int, seed: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
    """Returns the order of an epoch's images, int64 [count]; seed and number of the epoch are int64 []."""
    return tf.random.experimental.stateless_shuffle(tf.range(count, dtype=tf.int64), tf.stack([seed, epoch]))


def _reader(images: EncodedImages) -> Callable[[tf.Tensor], tf.Tensor]:
    """Makes what reads an image within a dataset: position, int64 [] -> string []."""

    def read(index: tf.Tensor) -> tf.Tensor:
        image = tf.numpy_function(lambda at: images[at], [index], tf.string, stateful=False)
        image.set_shape([])
        return image

    return read


def _targets(labels: npt.NDArray[np.int64], classes: int, weights: npt.NDArray[np.float32] | None) -> list[tf.Tensor]:
    """What goes with each image: its class, one-hot [images, classes], and its weight, if it has one, [images]."""
    one_hot = tf.constant(np.eye(classes, dtype=np.float32)[labels])
    return [one_hot] if weights is None else [one_hot, tf.constant(weights, tf.float32)]


def _grey(decode: Decoder) -> Decoder:
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
