"""Training with the feature cache: the same to the bit as without it, and only what is new goes through the network."""

import keras
import numpy as np
import pytest

from cxr.core import progress
from cxr.trainer.feature_cache.store import Store
from cxr.trainer.frozen_backbone import FeatureCache, FrozenBackbone
from cxr.trainer.models.assembly import assemble
from cxr.trainer.splits import read_split
from cxr.trainer.training import Training

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("small_mobilenet")]
ALL, NONE = (24, 24), (0, 24)


@pytest.fixture(scope="module")
def splits(quick_splits):
    return quick_splits


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(Store(tmp_path, 10**9), "1")


@pytest.fixture
def made(cache, splits):
    """Returns a function that gives the features of the training split, and how many of them the cache had."""

    def make(config, split=splits.train, cache=cache, transform=splits.transform, precision="float32"):
        keras.utils.set_random_seed(config.seed)
        frozen = FrozenBackbone(assemble(config, 32), config, transform, cache, precision)
        if config.bn_recalibration != "none":
            frozen.recalibrate(split.images, None)
        features = frozen.features(split.images, "train", None, config.augmentation.variants)
        return np.asarray(features), frozen.from_cache.get("train")

    return make


def test_a_training_is_the_same_to_the_bit_and_another_head_computes_nothing(splits, config, cache, passes, caplog):
    def train(cache, **changed):
        chosen = config(bn_recalibration="per_layer", head_training={"epochs": 2}, **changed)
        return Training(chosen, splits.transform, splits.train, splits.val, cache=cache).run()

    without, first = train(None), train(cache)
    assert (without.from_cache, first.from_cache) == ({}, {"train": (0, 24), "val": (0, 9)})
    passes.clear()
    with caplog.at_level("INFO", logger=progress.LOGGER):
        again = train(cache)
    assert (again.from_cache, passes) == ({"train": (24, 24), "val": (9, 9)}, [])
    assert "MobileNet, train images: 24 of 24 features from the cache" in caplog.text
    for trained in (first, again):
        for split in ("train", "val"):
            np.testing.assert_array_equal(trained.features[split], without.features[split])
            np.testing.assert_array_equal(trained.probabilities[split], without.probabilities[split])
        for ours, theirs in zip(trained.model.get_weights(), without.model.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    other = train(cache, head={"hidden_units": 5, "l2": 0.1}, loss={"label_smoothing": 0.1}, class_weights=True)
    assert (other.from_cache, passes) == (again.from_cache, [])


def test_what_is_new_alone_is_computed(made, config, splits, write, make_example, tmp_path_factory):
    chosen = config(bn_recalibration="none")
    made(chosen)
    folder = tmp_path_factory.mktemp("more")
    more = read_split([write(folder / "train" / "data.gz", [make_example(i) for i in [*range(24), 50]])], splits.transform)
    features, counted = made(chosen, more)
    assert counted == (24, 25)
    np.testing.assert_array_equal(features, made(chosen, more, None)[0])
    assert made(chosen, more.take(np.arange(3, 20)))[1] == (17, 17)  # dealt otherwise


def test_what_changes_features_computes_all(made, config, splits, cache):
    plain = {"bn_recalibration": "none"}
    made(config(**plain))

    class Brighter:
        """Another preprocessing_fn, as far as a backbone sees it."""

        def __getattr__(self, name):
            return "other" if name == "image_fingerprint" else getattr(splits.transform, name)

    assert made(config(**plain))[1] == ALL
    assert made(config(**plain, image_size=48))[1] == NONE
    assert made(config(**plain, input_adapter="identity"))[1] == NONE
    assert made(config(**plain, seed=5))[1] == NONE
    assert made(config(**plain), transform=Brighter())[1] == NONE
    assert made(config(**plain), cache=FeatureCache(cache.store, "2"))[1] == NONE


def test_statistics_of_the_same_images_are_kept_and_those_of_others_make_another_network(made, config, splits, monkeypatch):
    chosen = config(bn_recalibration="per_channel")
    first, _ = made(chosen)
    with monkeypatch.context() as nothing:
        nothing.setattr("cxr.trainer.models.bn_recalibration.recalibrate_channels", None)
        again, counted = made(chosen)
    assert counted == ALL
    np.testing.assert_array_equal(first, again)
    assert made(chosen, splits.train.take(np.arange(23)))[1] == (0, 23)


def test_augmented_variants_are_kept_by_their_draw(made, config):
    chosen = config(bn_recalibration="none", augmentation={"rotation": 10, "variants": 2})
    first, _ = made(chosen)
    again, counted = made(chosen)
    assert counted == (72, 72)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first[1] - first[2]).max() > 0
    assert made(config(bn_recalibration="none", augmentation={"rotation": 11, "variants": 1}))[1] == (24, 48)  # the images as they are


def test_another_seed_draws_other_variants(made, config, tmp_path):
    drawn = {"bn_recalibration": "none", "weights": str(tmp_path), "augmentation": {"rotation": 10, "variants": 1}}
    assemble(config(), 32).backbone.network.save_weights(tmp_path / "mobilenet_notop.weights.h5")  # else the seed makes the weights too
    made(config(**drawn))
    assert made(config(**drawn))[1] == (48, 48)
    assert made(config(**drawn, seed=5))[1] == (24, 48)


def test_weights_that_differ_in_a_bit_have_another_name(splits, config, cache):
    keras.utils.set_random_seed(1)
    frozen = FrozenBackbone(assemble(config(), 32), config(), splits.transform, cache)
    assert frozen._fingerprint() == frozen._made_by
    weight = frozen.assembly.extractor.weights[-1]
    weight.assign(np.nextafter(weight.numpy(), np.float32(9)))
    assert frozen._fingerprint() != frozen._made_by


def test_features_in_bfloat16_are_close_and_kept_apart(made, config):
    chosen = config(bn_recalibration="per_layer")
    exact, _ = made(chosen)
    rounded, counted = made(chosen, precision="bfloat16")
    assert counted == NONE
    # The same where the processor has neither AVX-512 nor AMX.
    assert np.sqrt(np.mean(np.square(rounded - exact))) < 0.05 * exact.std()
    again, counted = made(chosen, precision="bfloat16")
    assert counted == ALL
    np.testing.assert_array_equal(again, rounded)
