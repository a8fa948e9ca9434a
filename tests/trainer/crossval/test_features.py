"""A cross-validation's features are a run's: the same code, the same cache, the same checks."""

import keras
import numpy as np
import pytest

from cxr.core.errors import CxrError
from cxr.trainer.cached_features import BatchedModel
from cxr.trainer.crossval.features import features_of_all
from cxr.trainer.feature_cache.store import Store
from cxr.trainer.frozen_backbone import FeatureCache, FrozenBackbone
from cxr.trainer.models import stability
from cxr.trainer.models.assembly import assemble
from cxr.trainer.training import Training

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("small_mobilenet")]


@pytest.fixture(scope="module")
def splits(quick_splits):
    return quick_splits


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(Store(tmp_path / "cache", 10**9), "1")


@pytest.fixture
def made(cache, splits, tmp_path):
    """Returns a function that gives what a cross-validation learns from."""
    return lambda config, cache=cache: features_of_all("m", config, splits.train.images, splits.transform, cache, tmp_path / "unfinished")


def train(config, splits, cache):
    """Trains as a run whose training images are all that a cross-validation has."""
    return Training(config, splits.transform, splits.train, None, cache=cache).run()


def test_what_a_run_computed_serves_a_cross_validation(config, splits, cache, made, passes):
    chosen = config(bn_recalibration="per_layer", augmentation={"rotation": 10, "variants": 1}, head_training={"epochs": 1})
    trained = train(chosen, splits, cache)
    passes.clear()
    found = made(chosen)
    assert passes == []
    np.testing.assert_array_equal(found.features[0], trained.features["train"])
    assert found.features.shape[:2] == (2, 24)
    assert (found.weights_note, found.seconds_per_image) == (trained.weights_note, 0)


def test_what_a_cross_validation_computed_serves_a_run(config, splits, cache, made, passes):
    chosen = config(bn_recalibration="per_channel", head_training={"epochs": 1})
    found = made(chosen)
    passes.clear()
    trained = train(chosen, splits, cache)
    assert (trained.from_cache, passes) == ({"train": (24, 24)}, [])
    np.testing.assert_array_equal(trained.features["train"], found.features[0])


def test_a_backbone_that_a_run_refuses_is_refused(config, splits, made, monkeypatch):
    monkeypatch.setattr(stability, "LARGEST", -1.0)
    for refused in (lambda: made(config()), lambda: train(config(), splits, None)):
        with pytest.raises(CxrError, match=r"multiplies rounding errors: .* Remedy: set models\.\w+\.bn_recalibration=none or per_layer"):
            refused()
    from_scratch = made(config(head_training=None, fine_tuning={"epochs": 1}))  # that a run does not refuse
    assert from_scratch.seconds_per_image > 0


def test_an_interrupted_call_goes_on_where_it_stopped(config, made, monkeypatch, passes, tmp_path):
    chosen = config(bn_recalibration="none", augmentation={"rotation": 10, "variants": 2})
    counting = BatchedModel.batch

    def stopping(model, images):
        if len(passes) == 4:  # two of the check, two of the three of the features
            raise KeyboardInterrupt
        return counting(model, images)

    monkeypatch.setattr(BatchedModel, "batch", stopping)
    with pytest.raises(KeyboardInterrupt):
        made(chosen)
    assert passes == [27, 27, 32, 32]
    passes.clear()
    found = made(chosen)
    assert passes == [8]
    assert list(found.state.iterdir())
    monkeypatch.setattr(BatchedModel, "batch", counting)
    whole = made(chosen, FeatureCache(Store(tmp_path / "other", 10**9), "1"))
    np.testing.assert_array_equal(found.features, whole.features)


def test_features_are_named_by_what_they_hang_on_and_by_nothing_else(config, splits, cache):
    def name(cache=cache, precision="float32", **changed):
        chosen = config(bn_recalibration="none", **changed)
        keras.utils.set_random_seed(chosen.seed)
        frozen = FrozenBackbone(assemble(chosen, 32), chosen, splits.transform, cache, precision)
        return frozen.name_of(splits.train.images, chosen.augmentation.variants)

    own = name()
    assert name(conformal_coverage=0.8, outside_share=None, calibration="none", class_weights=True, head_training={"epochs": 3}) == own
    other = [name(seed=7), name(augmentation={"rotation": 10, "variants": 1}), name(precision="bfloat16")]
    assert len({own, *other, name(FeatureCache(cache.store, "2"))}) == 5
