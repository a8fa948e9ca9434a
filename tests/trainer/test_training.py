from contextlib import nullcontext

import keras
import numpy as np
import pytest
import tensorflow as tf

from cxr.core import machine, progress
from cxr.core.errors import CxrError
from cxr.trainer import cached_features, devices, fine_tuning
from cxr.trainer.artifact import TRAIN_OOF
from cxr.trainer.crossval.features import features_of_all
from cxr.trainer.decoded_images import in_order
from cxr.trainer.feature_cache.store import Store
from cxr.trainer.fine_tuning import set_trainable
from cxr.trainer.frozen_backbone import FeatureCache, FrozenBackbone
from cxr.trainer.frozen_features import FrozenFeatures
from cxr.trainer.models.backbones import LAYER, all_layers
from cxr.trainer.state_folder import States
from cxr.trainer.training import Training

CLASSES = ("covid19", "pneumonia", "normal")
pytestmark = pytest.mark.usefixtures("small_mobilenet")


@pytest.fixture(scope="module")
def splits(quick_splits):
    return quick_splits


def train(config, splits, val=True, state_root=None, **more):
    with States(state_root) if state_root else nullcontext() as states:
        return Training(config, splits.transform, splits.train, splits.val if val else None, states=states, **more).run()


def answers(trained, split, config, transform):
    images = np.stack(list(in_order(split.images, transform.image, augmentation=config.augmentation)))
    return trained.model.predict(images, verbose=0)


@pytest.fixture
def passes(monkeypatch):
    """How many images went through a network, by what for."""
    counted: dict[str, int] = {}
    real = cached_features.BatchedModel.all

    def counting(model, images, count, what, file=None):
        counted[what] = counted.get(what, 0) + count
        return real(model, images, count, what, file)

    monkeypatch.setattr(cached_features.BatchedModel, "all", counting)
    return counted


@pytest.fixture
def cache(tmp_path):
    """For trainings that differ in what comes after the features."""
    return FeatureCache(Store(tmp_path / "features", 10**9), "1")


@pytest.mark.slow
def test_head_stage(splits, config, passes, tmp_path, caplog):
    chosen = config(augmentation={"rotation": 10, "variants": 2}, class_weights=True, source_weights=True)
    with caplog.at_level("INFO", logger=progress.LOGGER):
        trained = train(chosen, splits)
    assert "source_weights: covid19 comes from unknown alone" in caplog.text
    assert passes == {"MobileNet, train images": 3 * 24, "MobileNet, val images": 9}  # each once, and each variant once
    assert [stage.name for stage in trained.stages] == ["head"]
    assert len(trained.stages[0].rows) == 4
    assert trained.weights_note == "random weights"
    for name, split in (("train", splits.train), ("val", splits.val)):
        np.testing.assert_allclose(trained.probabilities[name], answers(trained, split, chosen, splits.transform), atol=1e-4)
    assert trained.model.get_layer(LAYER).output.shape == (None, 1, 1, 256)
    assert trained.model.input.name == "image_tensor"

    trained.model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")  # no custom objects
    image = np.random.default_rng(0).uniform(size=(2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(loaded(image), trained.model(image), atol=1e-6)


@pytest.mark.slow
def test_features_that_are_there_already_are_learnt_from_and_fine_tuning_goes_on_from_them(splits, config, passes, tmp_path):
    """As in the folds of a cross-validation: one pass through the frozen backbone serves all trainings, also of fewer classes."""
    chosen = config(fine_tuning={"epochs": 1})
    everything = np.arange(24)
    cache = FeatureCache(Store(tmp_path, 10**9), "1")
    made = features_of_all("m", chosen, splits.train.images, splits.transform, cache, tmp_path)
    passes.clear()
    two = splits.train.take(everything[splits.train.labels < 2])
    frozen = FrozenFeatures({"train": made.features[:, splits.train.labels < 2]}, made.statistics)
    trained = Training(chosen, splits.transform, two, None, class_names=CLASSES[:2], frozen=frozen).run()
    assert passes == {"answers for the train split": len(two)}
    assert trained.probabilities["train"].shape == (len(two), 2)
    # The backbone that was tuned is the one that the features came from.
    untuned = Training(chosen.model_copy(update={"fine_tuning": None}), splits.transform, two, None, class_names=CLASSES[:2], frozen=frozen)
    own = untuned.run()
    np.testing.assert_allclose(own.probabilities["train"], answers(own, two, chosen, splits.transform), atol=1e-4)


@pytest.mark.slow
def test_seeds_repeat_a_training(splits, config):
    first, second, other = (train(config(seed=seed), splits) for seed in (1, 1, 2))
    np.testing.assert_allclose(first.probabilities["val"], second.probabilities["val"], atol=1e-5)
    assert not np.allclose(first.probabilities["val"], other.probabilities["val"], atol=1e-3)


@pytest.mark.slow
def test_reestimated_statistics_wake_up_a_random_backbone(splits, config):
    spread = {}
    for kind in ("none", "per_channel"):
        trained = train(config(bn_recalibration=kind, head_training={"epochs": 1}), splits)
        features = np.stack(list(in_order(splits.train.images, splits.transform.image, augmentation=fine_tuning._NO_AUGMENTATION)))
        for layer in trained.model.layers[1:-1]:
            features = layer(features)
        spread[kind] = np.std(features, axis=0).mean()
    assert spread["per_channel"] > 5 * spread["none"]


@pytest.mark.slow
def test_another_input_size_and_the_identity_adapter(splits, config):
    trained = train(config(image_size=48, head_training={"epochs": 1}), splits, val=False)
    assert trained.model.input.shape[1:] == (32, 32, 3)
    assert trained.model.get_layer(LAYER).input.shape[1:] == (48, 48, 3)
    assert set(trained.probabilities) == {"train"}
    bare = train(config(input_adapter="identity", head_training={"epochs": 1}), splits)
    assert "adapter" not in [layer.name for layer in bare.model.layers]


def weights_of(model):
    return {layer.path: [np.array(w) for w in layer.get_weights()] for layer in all_layers(model) if layer.get_weights()}


@pytest.mark.slow
def test_fine_tuning_moves_the_last_layers_and_no_batch_normalisation(splits, config, monkeypatch):
    before = {}
    real = fine_tuning.run_stage

    def spying(name, model, *args, **kwargs):
        before[name] = weights_of(model)
        return real(name, model, *args, **kwargs)

    monkeypatch.setattr(fine_tuning, "run_stage", spying)
    chosen = config(fine_tuning={"epochs": 2, "last_layers": 9, "optimizer": {"learning_rate": 1e-3}}, augmentation={"zoom": 0.1})
    trained = train(chosen, splits, folds=2)
    assert [stage.name for stage in trained.stages] == ["head", "fine-tuning"]
    assert set(trained.probabilities) == {"train", "val"}  # nothing out of fold: that would take two fine-tunings more
    after = weights_of(trained.model)
    moved = {path for path, old in before["fine-tuning"].items() if any((a != b).any() for a, b in zip(old, after[path], strict=True))}
    names = {path.rpartition("/")[2] for path in moved}
    assert {"conv_pw_13", "probabilities"} <= names
    assert not any(name.endswith("_bn") or name in ("conv1", "normalize") for name in names)
    np.testing.assert_allclose(trained.probabilities["val"], answers(trained, splits.val, chosen, splits.transform), atol=1e-4)
    for split in ("train", "val"):  # the features of the tuned network
        np.testing.assert_allclose(trained.model.layers[-1](trained.features[split]), trained.probabilities[split], atol=1e-5)


@pytest.mark.slow
def test_from_scratch_the_answers_in_training_and_inference_agree(splits, config):
    stage = {"epochs": 25, "batch_size": 8, "optimizer": {"learning_rate": 3e-3}}
    chosen = config(head_training=None, bn_recalibration="none", head={}, fine_tuning=stage)
    trained = train(chosen, splits)
    (stage,) = trained.stages
    assert stage.name == "from scratch"
    assert max(row["accuracy"] for row in stage.rows[-5:]) > 0.9  # 24 images at a high learning rate: single epochs swing
    accuracy = (trained.probabilities["train"].argmax(axis=1) == splits.train.labels).mean()
    assert accuracy > 0.8  # with momentum 0.99 it stays near 0.33: one constant class


@pytest.mark.slow
def test_what_fine_tuning_makes_worse_is_not_kept(splits, config, cache):
    tuning = {"epochs": 1, "optimizer": {"learning_rate": 10.0}}
    trained = train(config(fine_tuning=tuning), splits, cache=cache)
    head = train(config(), splits, cache=cache)
    assert [stage.name for stage in trained.stages] == ["head", "fine-tuning"]
    assert trained.kept_stage == "head"
    np.testing.assert_allclose(trained.probabilities["val"], head.probabilities["val"], atol=1e-5)
    np.testing.assert_allclose(answers(trained, splits.val, config(), splits.transform), head.probabilities["val"], atol=1e-4)
    assert train(config(fine_tuning=tuning), splits, val=False, cache=cache).kept_stage == "fine-tuning"  # nothing to judge by


@pytest.mark.slow
def test_without_a_gpu_mixed_precision_is_float32_and_said(splits, config, caplog, monkeypatch):
    monkeypatch.setattr(machine, "processor", lambda: {"flags": "avx512f"})
    with caplog.at_level("INFO", logger="cxr.progress"):
        trained = train(config(mixed_precision=True, head_training={"epochs": 1}), splits)
    assert trained.precision == "float32"
    assert any("no GPU here" in record.getMessage() for record in caplog.records)


@pytest.mark.slow
def test_a_cpu_with_bfloat16_uses_it_for_frozen_backbones_alone(splits, config, monkeypatch):
    monkeypatch.setattr(devices, "_has_bfloat16", lambda: True)  # Grappler leaves graphs as they are where the processor has none at all
    chosen = config(fine_tuning={"epochs": 1}, mixed_precision=True)

    def rewritten():
        return tf.config.optimizer.get_experimental_options().get("auto_mixed_precision_onednn_bfloat16", False)

    def noting(call, seen):
        return lambda *args, **kwargs: seen.append(rewritten()) or call(*args, **kwargs)

    passed: list[bool] = []
    tuned: list[bool] = []
    monkeypatch.setattr(cached_features.BatchedModel, "batch", noting(cached_features.BatchedModel.batch, passed))
    monkeypatch.setattr(fine_tuning, "run_stage", noting(fine_tuning.run_stage, tuned))
    trained = train(chosen, splits)
    # Two of the check of stability, then the features of both splits; fine-tuning; its answers to both.
    assert (passed, tuned) == ([False, False, True, True, False, False], [False])
    assert not rewritten()
    assert trained.precision == "bfloat16"
    assert {layer.compute_dtype for layer in all_layers(trained.model)} == {"float32"}
    assert np.abs(answers(trained, splits.val, chosen, splits.transform) - trained.probabilities["val"]).mean() < 0.03


@pytest.mark.slow
def test_mixed_precision_yields_a_float32_model_and_restores_the_policy(splits, config, monkeypatch):
    monkeypatch.setattr(devices, "has_gpu", lambda: True)
    learners = {}
    real = fine_tuning.run_stage

    def spying(name, model, *args, **kwargs):
        learners[name] = model
        return real(name, model, *args, **kwargs)

    monkeypatch.setattr(fine_tuning, "run_stage", spying)
    trained = train(config(mixed_precision=True, fine_tuning={"epochs": 1}), splits)
    learner = learners["fine-tuning"]
    assert trained.precision == "mixed_float16"
    assert isinstance(learner.optimizer, keras.optimizers.LossScaleOptimizer)
    dtypes = {layer.name: (layer.compute_dtype, layer.variable_dtype) for layer in all_layers(learner)}
    assert dtypes["conv_pw_13"] == ("float16", "float32")
    assert {dtypes[name] for name in ("pooling", "normalize", "probabilities")} == {("float32", "float32")}
    assert {array.dtype for array in (*trained.features.values(), *trained.probabilities.values())} == {np.dtype("float32")}
    assert keras.config.dtype_policy().name == "float32"
    assert {layer.compute_dtype for layer in all_layers(trained.model)} == {"float32"}
    for own, learnt in zip(trained.model.get_weights(), learner.get_weights(), strict=True):
        np.testing.assert_array_equal(own, learnt)
    # Half precision through 27 random layers is coarse; weights that were not carried over would differ by far more.
    assert np.abs(answers(trained, splits.val, config(), splits.transform) - trained.probabilities["val"]).mean() < 0.03


@pytest.mark.seconds
def test_data_that_cannot_be_trained_with(splits, config):
    train_split = splits.train
    part = train_split.take(train_split.labels != 1)
    with pytest.raises(CxrError, match="no image of class pneumonia among 16"):
        Training(config(), splits.transform, part, None)
    empty = train_split.take(np.arange(0))
    with pytest.raises(CxrError, match="validation split: it holds no images"):
        Training(config(), splits.transform, train_split, empty)


def test_batch_normalisation_of_a_nested_model_stays_as_it_is_too():
    inner = keras.Sequential([keras.Input([4]), keras.layers.Dense(4), keras.layers.BatchNormalization()])
    network = keras.Sequential([keras.Input([4]), keras.layers.Dense(4), inner, keras.layers.Dense(4)])
    first, dense, norm, last = all_layers(network)
    set_trainable(network, None, from_scratch=False)
    assert [len(layer.trainable_weights) for layer in (first, dense, norm, last)] == [2, 2, 0, 2]
    set_trainable(network, 3, from_scratch=False)
    assert [len(layer.trainable_weights) for layer in (first, dense, norm, last)] == [0, 2, 0, 2]
    set_trainable(network, None, from_scratch=True)
    assert norm.momentum == fine_tuning.SCRATCH_MOMENTUM


@pytest.mark.slow
def test_what_an_interrupted_training_had_answered_out_of_fold_is_not_trained_again(splits, config, cache, tmp_path, monkeypatch):
    more = {"folds": 2, "state_root": tmp_path / "state", "cache": cache}
    first = train(config(head_training={"epochs": 1}), splits, **more)
    monkeypatch.setattr("cxr.trainer.training.out_of_fold", None)
    again = train(config(head_training={"epochs": 1}), splits, **more)
    np.testing.assert_array_equal(again.probabilities[TRAIN_OOF], first.probabilities[TRAIN_OOF])


@pytest.mark.slow
def test_the_state_depends_on_what_is_trained(splits, config, cache, tmp_path):
    first = train(config(head_training={"epochs": 1}), splits, state_root=tmp_path)
    again = train(config(head_training={"epochs": 1}), splits, state_root=tmp_path, cache=cache)
    assert first.state_dir == again.state_dir
    np.testing.assert_array_equal(first.probabilities["val"], again.probabilities["val"])

    class Begun(Exception):
        """A training, with its state; it need not go on."""

    def begun(frozen, images, file):
        raise Begun(file.parent)

    def state_of(epochs, **more):
        with pytest.raises(Begun) as raised:
            train(config(head_training={"epochs": epochs}), splits, state_root=tmp_path, **more)
        return raised.value.args[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FrozenBackbone, "recalibrate", begun)
        assert state_of(1) == first.state_dir
        other, code = state_of(2), state_of(1, identity=["v2"])
        patch.setattr("cxr.trainer.devices.precision", lambda mixed: devices.MIXED)  # as on a GPU
        half = state_of(1)
    assert len({first.state_dir, other, code, half}) == 4
