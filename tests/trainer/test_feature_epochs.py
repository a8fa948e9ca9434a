import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from cxr.trainer import feature_epochs, image_epochs
from cxr.trainer.encoded_images import EncodedImages
from cxr.trainer.feature_epochs import Examples, FeatureEpochs
from cxr.trainer.model_config import Augmentation

pytestmark = pytest.mark.seconds

TARGETS = np.eye(3, dtype=np.float32)[np.arange(24) % 3]
NUMBERS = np.arange(24, dtype=np.float32)[:, None]
VARIANTS = np.stack([NUMBERS, 100 + NUMBERS])
WEIGHTS = np.linspace(0.5, 1.5, 24).astype(np.float32)


@pytest.fixture(params=["held", "read in parts"])
def read(request, monkeypatch):
    if request.param != "held":
        _in_parts(monkeypatch)


def _in_parts(monkeypatch):
    monkeypatch.setattr(feature_epochs, "ROWS_AT_ONCE", 10)
    monkeypatch.setattr(feature_epochs, "ROWS_IN_MEMORY", 20)


def columns(data, epoch):
    """What an epoch goes through, row by row."""
    parts = [[tf.gather(value, order) for value in values] for values, order in data.examples.parts(data.order(epoch), data.batch_size)]
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


@pytest.mark.usefixtures("read")
def test_each_epoch_visits_every_image_once_in_an_order_of_its_number():
    orders = []
    for epoch in range(3):
        features, targets, weights = columns(FeatureEpochs(Examples(VARIANTS, TARGETS, WEIGHTS), None, 5, 7), epoch)
        images = features.ravel().astype(int) % 100
        assert sorted(images) == list(range(24))
        assert set(features.ravel() // 100) == {0, 1}
        np.testing.assert_array_equal(targets, TARGETS[images])
        np.testing.assert_array_equal(weights, WEIGHTS[images])
        orders.append(features.tolist())
    assert orders[0] != orders[1]
    assert columns(FeatureEpochs(Examples(VARIANTS, TARGETS), None, 5, 7), 2)[0].tolist() == orders[2]


def test_heads_see_the_images_in_the_order_of_fine_tuning(splits):
    images = EncodedImages.of(str(number).encode() for number in range(24))
    split = dataclasses.replace(splits.train, images=images)
    order = image_epochs.EpochOrder(0, 2, 5, 7)
    epochs = image_epochs.image_epochs(split, 3, lambda number: tf.fill([1, 1, 3], tf.strings.to_number(number)), Augmentation(), order)
    batches = [(images[:, 0, 0, 0], *others) for images, *others in epochs]
    data = FeatureEpochs(Examples(NUMBERS[None], TARGETS), None, 5, 7)
    for column in range(2):
        expected = np.concatenate([batch[column] for batch in batches])
        np.testing.assert_array_equal(
            np.concatenate([columns(data, epoch)[column] for epoch in range(2)]).reshape(expected.shape), expected
        )


def test_parts_are_whole_batches(monkeypatch):
    _in_parts(monkeypatch)

    def sizes(batch):
        return [len(order) for _, order in Examples(NUMBERS[None], TARGETS).parts(np.arange(24), batch)]

    assert (sizes(4), sizes(5), sizes(16)) == ([8, 8, 8], [10, 10, 4], [16, 8])


def test_what_is_read_at_once_does_not_change_what_is_learnt(monkeypatch):
    def learnt():
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input([1]), keras.layers.Dropout(0.3), keras.layers.Dense(3, "softmax")])
        model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
        logs = keras.callbacks.History()
        FeatureEpochs(Examples(VARIANTS, TARGETS, WEIGHTS), None, 5, 7).fit(model, 3, 1, [logs])
        return logs.epoch, logs.history, [values.tolist() for values in model.get_weights()]

    held = learnt()
    assert held[0] == [1, 2]
    _in_parts(monkeypatch)
    assert learnt() == held
