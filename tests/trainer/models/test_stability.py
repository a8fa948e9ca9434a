import io
from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from cxr.core.errors import CxrError
from cxr.data.demo.radiograph import draw
from cxr.trainer.cached_features import BatchedModel
from cxr.trainer.encoded_images import EncodedImages
from cxr.trainer.models.stability import check_stability
from cxr.trainer.splits import Split
from cxr.trainer.training import Training
from cxr.trainer.transform_graph import TransformGraph

CLASSES = ("covid19", "pneumonia", "normal")
UNSTEADY = "EfficientNetB1"  # with random weights, as EfficientNetB7, at half its depth: its features move by 0.3 of their spread
IMAGES = np.random.default_rng(0).uniform(size=(4, 8, 8, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def splits(quick_splits):
    return quick_splits


def extractor(gain):
    """Features whose last digit is multiplied: sin(gain * mean)."""
    image = keras.Input([8, 8, 3])
    x = keras.layers.Rescaling(gain)(image)
    return BatchedModel(keras.Model(image, keras.layers.Flatten()(keras.layers.Lambda(keras.ops.sin)(x))))


def test_rounding_errors_are_found_where_they_grow():
    assert check_stability(extractor(3.0), IMAGES, "") < 1e-4
    with pytest.raises(CxrError, match="multiplies rounding errors.* set a.b=c"):
        check_stability(extractor(1e5), IMAGES, "set a.b=c")


def test_pictures_that_do_not_differ_say_nothing():
    assert check_stability(extractor(3.0), np.full([2, 8, 8, 3], 0.5, np.float32), "") == 0


def smooth(split: Split) -> Split:
    """The same examples with smooth pictures, as radiographs are: noise hides how far a network multiplies differences."""
    rng, images = np.random.default_rng(0), []
    for _ in split.images:
        picture = gaussian_filter(rng.standard_normal((64, 64)), 4)
        file = io.BytesIO()
        grey = 255 * (picture - picture.min()) / np.ptp(picture)
        Image.fromarray(grey.astype(np.uint8)).save(file, "png")
        images.append(file.getvalue())
    return replace(split, images=EncodedImages.of(images))


@pytest.mark.slow
def test_training_refuses_before_it_begins_and_names_the_key(splits, config, raw_examples, make_transform, quick):
    chosen = config(backbone=UNSTEADY, image_size=64)
    transform = TransformGraph(make_transform(raw_examples, size=64, function=quick), CLASSES)
    epochs = []
    with pytest.raises(CxrError, match="set models.large.bn_recalibration=none or per_layer, or set models.large.image_size=128"):
        Training(chosen, transform, smooth(splits.train), None, name="large", on_epoch=lambda *row: epochs.append(row)).run()
    assert epochs == []


@pytest.mark.slow
def test_a_backbone_that_is_steady_on_its_training_images_only_is_refused(splits, config):
    # Flat pictures: the statistics that they leave make signals explode in others, of usual contrast.
    images = []
    for seed in range(len(splits.train)):
        file = io.BytesIO()
        flat = 100 + 0.2 * draw(seed, CLASSES[seed % 3], 64).image
        Image.fromarray(flat.astype(np.uint8)).save(file, "png")
        images.append(file.getvalue())
    train = replace(splits.train, images=EncodedImages.of(images))
    chosen = config(backbone=UNSTEADY, image_size=32, bn_recalibration="per_layer")
    with pytest.raises(CxrError, match="set models.large.image_size=64 or models.large.bn_recalibration=none"):
        Training(chosen, splits.transform, train, None, name="large").run()
