"""The positive control: of a network that was trained to see lesions the maps lie on them, of the same network untrained they do not."""

import keras
import numpy as np
import pytest

from cxr.components.explanation.localisation import localise
from cxr.trainer.explain.gradcam import GradCam

SIDE, LESION = 48, 14
SICK = 1


def pictures(count, seed):
    """Noise of several grains; every second one has a lesion, a patch of finer stripes and no brighter, at a place of its own."""
    rng = np.random.default_rng(seed)
    images = rng.normal(0.5, 0.08, (count, SIDE, SIDE, 1)).astype(np.float32)
    images += 0.2 * np.kron(rng.normal(size=(count, 6, 6, 1)), np.ones((1, 8, 8, 1))).astype(np.float32)
    masks = np.zeros((count, SIDE, SIDE), bool)
    stripes = 0.35 * np.where(np.arange(LESION) % 2, 1.0, -1.0)[:, np.newaxis]
    for number in range(0, count, 2):
        top, left = rng.integers(0, SIDE - LESION, 2)
        masks[number, top : top + LESION, left : left + LESION] = True
        images[number, top : top + LESION, left : left + LESION, 0] += stripes
    labels = (np.arange(count) % 2 == 0).astype(int)
    return np.repeat(images, 3, axis=3), labels, masks


def network():
    keras.utils.set_random_seed(4)
    image = keras.Input([SIDE, SIDE, 3])
    x = image
    for filters in (8, 12, 16):
        x = keras.layers.MaxPooling2D()(keras.layers.Conv2D(filters, 3, padding="same", activation="relu")(x))
    backbone = keras.Model(image, x, name="backbone")
    outer = keras.Input([SIDE, SIDE, 3])
    pooled = keras.layers.GlobalAveragePooling2D()(backbone(outer))
    return keras.Model(outer, keras.layers.Dense(2, activation="softmax")(pooled))


def localised(model):
    images, labels, masks = pictures(80, seed=9)
    sick = labels == SICK
    patients = [b"patient %d" % number for number in range(sick.sum())]
    found = localise("control", [*GradCam(model)(images[sick], SICK)], [*masks[sick]], ["sick"] * len(patients), patients)
    assert found is not None
    return found


@pytest.mark.slow
def test_maps_lie_on_the_lesions_of_a_network_that_learnt_to_see_them():
    model = network()
    untrained = localised(model)
    images, labels, _ = pictures(320, seed=1)
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy())
    model.fit(images, labels, batch_size=32, epochs=4, verbose=0)
    unseen, truth, _ = pictures(80, seed=9)
    assert (np.asarray(model(unseen)).argmax(axis=1) == truth).mean() > 0.9
    trained = localised(model)
    assert trained.area.value == pytest.approx(LESION**2 / SIDE**2, abs=0.01)
    assert trained.energy.low is not None
    assert trained.energy.low > 4 * LESION**2 / SIDE**2
    assert "more than inside the lesions of the same class in other patients" in trained.verdict
    assert untrained.energy.high is not None
    assert untrained.energy.high < trained.energy.low
