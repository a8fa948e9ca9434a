import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError

from cxr.trainer.augmentation import augment
from cxr.trainer.model_config import Augmentation

pytestmark = pytest.mark.seconds

SPOT = np.zeros((33, 33, 3), np.float32)
SPOT[16, 26] = 1  # ten pixels to the right of the centre


def centroid(image):
    rows, columns = np.nonzero(image[..., 0] > 0)
    weights = image[rows, columns, 0]
    return np.average(rows, weights=weights) - 16, np.average(columns, weights=weights) - 16


def variants(image, **config):
    return [augment(tf.constant(image), Augmentation(**config), tf.constant([1, i], tf.int64)).numpy() for i in range(40)]


def test_nothing_configured_changes_nothing():
    image = tf.constant(SPOT)
    assert augment(image, Augmentation(), tf.constant([1, 2], tf.int64)) is image


def test_rotation_turns_about_the_centre_within_its_limit():
    angles = [np.degrees(np.arctan2(*centroid(image))) for image in variants(SPOT, rotation=20)]
    assert max(np.abs(angles)) <= 21
    assert min(angles) < -10 < 10 < max(angles)
    assert np.hypot(*centroid(variants(SPOT, rotation=20)[0])) == pytest.approx(10, abs=0.5)


def test_zoom_scales_about_the_centre_within_its_limit():
    radii = [centroid(image)[1] for image in variants(SPOT, zoom=0.2) if image.max() > 0.1]
    assert 7.5 <= min(radii) < 9.5 < 10.5 < max(radii) <= 12.5


def test_flip_mirrors_half_of_them():
    columns = [centroid(image)[1] for image in variants(SPOT, horizontal_flip=True)]
    assert {round(c) for c in columns} == {-10, 10}


def test_equal_seeds_give_equal_images_and_borders_are_continued():
    bright = np.ones((16, 16, 3), np.float32)
    images = variants(bright, rotation=30, zoom=0.3)
    np.testing.assert_allclose(images, 1, atol=1e-6)
    first, second = (variants(SPOT, rotation=30)[5] for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_each_option_changes_the_picture_by_itself_and_all_together():
    grey = np.repeat(np.random.default_rng(0).uniform(0.2, 0.8, (32, 32, 1)), 3, axis=2).astype(np.float32)
    options = {"exposure": 0.3, "gamma": 0.5, "blur": 2, "noise": 0.1, "border": 0.2, "marker": 1}
    alone = {name: variants(grey, **{name: most})[0] for name, most in options.items()}
    for image in (*alone.values(), variants(grey, zoom=0.1, rotation=5, **options)[0]):
        assert np.abs(image - grey).max() > 0.01
        assert -1e-6 <= image.min() <= image.max() <= 1 + 1e-6
    both = variants(grey, noise=0.1, marker=1)[0]  # an option's draws do not hang on the others'
    np.testing.assert_allclose(both[10:22, 14:18], alone["noise"][10:22, 14:18], atol=1e-6)


def test_variants_need_a_change():
    assert Augmentation(variants=2, blur=1).changes_images
    assert not Augmentation().changes_images
    with pytest.raises(ValidationError, match="variants would all be the same"):
        Augmentation(variants=2)
