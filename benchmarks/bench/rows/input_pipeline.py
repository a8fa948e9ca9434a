"""What brings images to a network: our tf.data pipeline from records beside Keras's and a plain one from files of the same bytes.

`tf.keras` 2.21 still has ImageDataGenerator (of Keras 2, on NumPy and SciPy); Keras 3's own module has not, but
image_dataset_from_directory. Both run with their defaults.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable
from contextlib import ExitStack

import tensorflow as tf

from bench.data import GROWTH, SIZE, SPLIT, Data
from bench.row import Done, Round, Row, Side, timed
from cxr.core import features
from cxr.trainer import decoded_images, image_epochs, splits
from cxr.trainer.model_config import Augmentation
from cxr.trainer.preprocessing import decode_and_resize
from cxr.trainer.transform_graph import TransformGraph

BATCH, EPOCHS = 16, 4
ZOOM, ROTATION = 0.05, 5  # share of the side, degrees: as in configuration cpu
CHANGED = Augmentation(zoom=ZOOM, rotation=ROTATION)
CLASSES = len(features.CLASS_NAMES)


def ours(data: Data, stack: ExitStack, augmentation: Augmentation = Augmentation(), times: int = 3) -> Round:  # noqa: B008 (immutable)
    """What fine-tuning reads. Images are decoded before the first batch, once for all epochs: that counts."""
    transform, split = _split(data, times)
    order = image_epochs.EpochOrder(0, EPOCHS, BATCH, seed=1)

    def read() -> Done:
        begin = time.perf_counter()
        batches = image_epochs.image_epochs(split, CLASSES, transform.image, augmentation, order)
        decoding = time.perf_counter() - begin
        done = _under_way(batches, EPOCHS * len(split))
        return done._replace(seconds=(done.seconds or 0) + decoding)

    return read


def image_dataset(data: Data, stack: ExitStack) -> Round:
    """keras.utils.image_dataset_from_directory; it resizes without antialiasing, which costs less than ours."""
    import keras

    found = keras.utils.image_dataset_from_directory(
        data.files(), label_mode="categorical", batch_size=BATCH, image_size=(SIZE, SIZE), seed=1, verbose=False
    )
    batches = found.map(lambda image, label: (image / 255, label), tf.data.AUTOTUNE).repeat(EPOCHS).prefetch(tf.data.AUTOTUNE)
    return lambda: _under_way(batches, EPOCHS * len(found.file_paths))


def plain(data: Data, stack: ExitStack) -> Round:
    """What the tutorials have: list, shuffle, decode, resize, batch, prefetch."""
    files = sorted(data.files().glob("*/*"))
    labels = [features.CLASS_NAMES.index(file.parent.name) for file in files]

    def load(file: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image = tf.io.decode_image(tf.io.read_file(file), channels=3, expand_animations=False)
        return tf.image.resize(image, [SIZE, SIZE], antialias=True) / 255, tf.one_hot(label, CLASSES)

    listed = tf.data.Dataset.from_tensor_slices(([str(file) for file in files], labels)).shuffle(len(files), seed=1)
    batches = listed.map(load, tf.data.AUTOTUNE).batch(BATCH).repeat(EPOCHS).prefetch(tf.data.AUTOTUNE)
    return lambda: _under_way(batches, EPOCHS * len(files))


def generator(data: Data, stack: ExitStack) -> Round:
    """ImageDataGenerator with the same changes."""
    made = tf.keras.preprocessing.image.ImageDataGenerator(
        rotation_range=ROTATION, zoom_range=ZOOM, rescale=1 / 255, fill_mode="nearest"
    ).flow_from_directory(str(data.files()), target_size=(SIZE, SIZE), batch_size=BATCH, interpolation="bilinear", seed=1)
    return lambda: _under_way((made[number] for number in range(len(made))), made.samples)


def decoded(data: Data, stack: ExitStack, directly: bool = False) -> Round:
    """Every image through Transform's graph, or through the function that it was made of."""
    transform, split = _split(data, 3)

    def function(encoded: tf.Tensor) -> tf.Tensor:
        return tf.repeat(decode_and_resize(encoded[tf.newaxis], SIZE)[0], 3, axis=2)

    images = decoded_images.in_order(split.images, function if directly else transform.image, augmentation=Augmentation())
    batches = images.batch(BATCH).repeat(EPOCHS)
    return lambda: _under_way(batches, EPOCHS * len(split))


def _split(data: Data, times: int) -> tuple[TransformGraph, splits.Split]:
    transform = TransformGraph(str(data.transform()), features.CLASS_NAMES)
    return transform, splits.read_split([f"{data.records(times)}/{SPLIT}/*"], transform)


def _under_way(batches: Iterable[object], images: int) -> Done:
    """Goes through batches, and times all but the first: a training starts its data once, for all epochs."""
    iterator = iter(batches)
    next(iterator)
    return timed(lambda: sum(1 for _ in iterator), images - BATCH)


def _prepare(data: Data) -> None:
    data.transform()
    data.files()


def _prepare_growth(data: Data) -> None:
    data.transform()
    for times in GROWTH:
        data.records(times)


ROW = Row(
    "input",
    f"decoded, resized, shuffled batches, {EPOCHS} epochs; the start of the data is not counted",
    "images/s",
    _prepare,
    Side("from records, Transform's graph", ours),
    (Side("image_dataset_from_directory", image_dataset, 1), Side("plain tf.data", plain, 1)),
)
AUGMENTED_ROW = Row(
    "augmented",
    "the same, zoomed and rotated at random",
    "images/s",
    _prepare,
    Side("from records, Transform's graph", functools.partial(ours, augmentation=CHANGED)),
    (Side("ImageDataGenerator", generator, 1),),
)
DECODING_ROW = Row(
    "decoding",
    "a pass over all images: a frozen backbone decodes each once",
    "images/s",
    _prepare,
    Side("Transform's graph", decoded),
    (Side("the same function, mapped directly", functools.partial(decoded, directly=True), 0.9),),
)
GROWTH_ROW = Row(
    "input-growth",
    "the input pipeline with ten times the images, beside fewer",
    "images/s",
    _prepare_growth,
    Side(f"{GROWTH[2]} times the images", functools.partial(ours, times=GROWTH[2])),
    tuple(Side(f"{times} times", functools.partial(ours, times=times), 0.9) for times in GROWTH[1::-1]),
)
