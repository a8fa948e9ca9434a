import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from cxr.trainer import image_epochs
from cxr.trainer.encoded_images import EncodedImages
from cxr.trainer.model_config import Augmentation

pytestmark = pytest.mark.seconds


def small(encoded):
    """In place of Transform's graph, which takes a second to trace and is of no concern here."""
    grey = tf.io.decode_image(encoded, channels=1, expand_animations=False)
    return tf.repeat(tf.image.resize(grey, [32, 32]) / 255, 3, axis=2)


def rows(dataset):
    return [tuple(value.numpy().tolist() for value in batch) for batch in dataset]


def test_weights_stay_with_their_images(splits):
    weights = np.linspace(0.5, 1.5, 9).astype(np.float32)
    order, plain = image_epochs.EpochOrder(0, 1, 4, 7), Augmentation()
    sums = [float(np.sum(small(tf.constant(image)))) for image in splits.val.images]
    for images, _, weight in rows(image_epochs.image_epochs(splits.val, 3, small, plain, order, weights)):
        numbers = [int(np.argmin(np.abs(np.array(sums) - np.sum(image)))) for image in images]
        np.testing.assert_array_equal(weight, weights[numbers])


def of_one_level(number):
    return tf.fill([1, 1, 3], tf.strings.to_number(number))


@pytest.mark.parametrize("size", [5, 24, 50])
def test_full_batches_weigh_what_smaller_ones_would(splits, size):
    split = dataclasses.replace(splits.train, images=EncodedImages.of(str(number).encode() for number in range(24)))
    own = np.linspace(0.5, 1.5, 24).astype(np.float32)

    def epoch(weights=own, **more):
        order = image_epochs.EpochOrder(0, 1, size, 7, **more)
        return rows(image_epochs.image_epochs(split, 3, of_one_level, Augmentation(), order, weights))

    full = epoch(full=True)
    assert [len(weights) for _, _, weights in full] == [size] * image_epochs.steps_per_epoch(24, size)
    for (features, _, weights), (wanted, _, wanted_weights) in zip(full, epoch(), strict=True):
        count = len(wanted)
        assert features[:count] == wanted
        np.testing.assert_array_equal(weights[count:], 0)
        np.testing.assert_allclose(
            np.divide(weights[:count], size), np.divide(wanted_weights, count), rtol=1e-6
        )  # Keras divides by the number
    unweighed = epoch(None, full=True)
    assert [len(batch) for batch in unweighed] == [3 if 24 % size else 2] * len(full)


@pytest.mark.parametrize("size", [4, 9, 50])
@pytest.mark.parametrize("rotation", [0, 20])
def test_each_image_is_decoded_once_where_there_is_room(splits, monkeypatch, size, rotation):
    decoded = []

    def black_below(encoded):
        tf.numpy_function(lambda image: decoded.append(image), [encoded], [])
        image = small(encoded)
        return tf.concat([image[:9], tf.zeros_like(image[9:])], axis=0)  # zeros at the end of a string are a part of it

    def epochs():
        order = image_epochs.EpochOrder(1, 4, size, 7)
        return rows(image_epochs.image_epochs(splits.val, 3, black_below, Augmentation(rotation=rotation), order))

    once, first = epochs(), len(decoded)
    assert first <= 1 + len(splits.val)
    monkeypatch.setattr(image_epochs, "KEPT_BYTES", 0)
    assert epochs() == once
    assert len(decoded) - first >= 3 * len(splits.val)
    monkeypatch.undo()
    monkeypatch.setattr(image_epochs.shutil, "disk_usage", lambda _: SimpleNamespace(free=4 * 32 * 32 * 9 * 2 - 1))
    before = len(decoded)
    assert epochs() == once
    assert len(decoded) - before >= 3 * len(splits.val)
    assert [len(images) for images, _ in once] == [*[size] * (9 // size), *([9 % size] if 9 % size else [])] * 3


def test_image_epochs_augment_anew_and_resume_where_they_were(splits):
    def epochs(first, augmentation):
        return rows(image_epochs.image_epochs(splits.val, 3, small, augmentation, image_epochs.EpochOrder(first, 2, 4, 7)))

    def sums(batches):
        return [sorted(np.sum(image) for images, _ in part for image in images) for part in (batches[:3], batches[3:])]

    plain, turned = epochs(0, Augmentation()), epochs(0, Augmentation(rotation=20))
    assert epochs(1, Augmentation(rotation=20)) == turned[3:]
    first, second = sums(plain)
    np.testing.assert_allclose(first, second, rtol=1e-5)
    first, second = sums(turned)
    assert not np.allclose(first, second, rtol=1e-4)
    assert [y for _, y in turned] == [y for _, y in plain]
