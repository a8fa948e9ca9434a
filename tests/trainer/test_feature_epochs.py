import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from cxr.trainer import feature_epochs, inputs
from cxr.trainer.encoded_images import EncodedImages
from cxr.trainer.feature_epochs import FeatureEpochs
from cxr.trainer.model_config import Augmentation

LABELS = np.arange(24) % 3
TARGETS = np.eye(3, dtype=np.float32)[LABELS]
NUMBERS = np.arange(24, dtype=np.float32)[:, None]
VARIANTS = np.stack([NUMBERS, 100 + NUMBERS])


def joined(parts):
    """The columns of an epoch."""
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


@pytest.fixture(params=[256, 10])
def at_once(request, monkeypatch):
    monkeypatch.setattr(feature_epochs, "AT_ONCE", request.param)


@pytest.mark.usefixtures("at_once")
def test_each_epoch_visits_every_image_once_in_an_order_of_its_number():
    weights = np.linspace(0.5, 1.5, 24).astype(np.float32)
    orders = []
    for epoch in range(3):
        features, targets, weight = joined(FeatureEpochs(VARIANTS, TARGETS, weights, None, 5, 7).epoch(epoch))
        images = features.ravel().astype(int) % 100
        assert sorted(images) == list(range(24))
        assert set(features.ravel() // 100) == {0, 1}
        np.testing.assert_array_equal(targets, TARGETS[images])
        np.testing.assert_array_equal(weight, weights[images])
        orders.append(features.tolist())
    assert orders[0] != orders[1]
    assert joined(FeatureEpochs(VARIANTS, TARGETS, None, None, 5, 7).epoch(2))[0].tolist() == orders[2]


@pytest.mark.usefixtures("at_once")
def test_heads_see_the_images_in_the_order_of_fine_tuning(splits):
    images = EncodedImages.of(str(number).encode() for number in range(24))
    split = dataclasses.replace(splits.train, images=images)
    batches = inputs.image_epochs(split, 3, tf.strings.to_number, Augmentation(), inputs.Order(0, 2, 5, 7))
    expected = joined(batches)[0].tolist()
    data = FeatureEpochs(NUMBERS[None], TARGETS, None, None, 5, 7)
    assert joined([*data.epoch(0), *data.epoch(1)])[0].ravel().tolist() == expected


def test_parts_are_whole_batches(monkeypatch):
    monkeypatch.setattr(feature_epochs, "AT_ONCE", 10)

    def sizes(batch):
        return [len(part[0]) for part in FeatureEpochs(NUMBERS[None], TARGETS, None, None, batch, 7).epoch(0)]

    assert (sizes(4), sizes(5), sizes(16)) == ([8, 8, 8], [10, 10, 4], [16, 8])


def test_what_is_read_at_once_does_not_change_what_is_learnt(monkeypatch):
    def learnt():
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input([1]), keras.layers.Dropout(0.3), keras.layers.Dense(3, "softmax")])
        model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
        logs = keras.callbacks.History()
        FeatureEpochs(VARIANTS, TARGETS, None, None, 5, 7).fit(model, 3, 1, [logs])
        return logs.epoch, logs.history, [values.tolist() for values in model.get_weights()]

    whole = learnt()
    assert whole[0] == [1, 2]
    monkeypatch.setattr(feature_epochs, "AT_ONCE", 10)
    assert learnt() == whole
