import numpy as np
import pytest

from cxr.trainer import decoded_images
from cxr.trainer.model_config import Augmentation

pytestmark = pytest.mark.seconds


def test_in_order_gives_the_originals_first(splits, transform):
    images = splits.train.images[:4]
    plain = np.stack(list(decoded_images.in_order(images, transform.image, augmentation=Augmentation())))
    varied = np.stack(list(decoded_images.in_order(images, transform.image, augmentation=Augmentation(rotation=20), variants=2, seed=3)))
    untouched = decoded_images.in_order(images, transform.image, augmentation=Augmentation(rotation=20))  # without variants
    np.testing.assert_array_equal(np.stack(list(untouched)), plain)
    assert varied.shape == (12, 32, 32, 3)
    np.testing.assert_array_equal(varied[:4], plain)
    assert np.abs(varied[4:8] - plain).max() > 0.05
    assert np.abs(varied[4:8] - varied[8:]).max() > 0.05
    some = np.array([9, 2, 5])
    chosen = decoded_images.in_order(images, transform.image, augmentation=Augmentation(rotation=20), variants=2, seed=3, numbers=some)
    np.testing.assert_array_equal(np.stack(list(chosen)), varied[some])
