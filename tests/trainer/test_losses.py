import keras
import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError

from cxr.trainer import devices
from cxr.trainer import losses as losses_module
from cxr.trainer.losses import balanced_class_weights, from_one_source, image_weights, make_loss, make_optimizer
from cxr.trainer.model_config import Loss, Model, Optimizer

pytestmark = pytest.mark.seconds

TRUTH, ANSWER = np.array([[0, 1, 0]], np.float32), np.array([[0.2, 0.7, 0.1]], np.float32)


@pytest.mark.parametrize(
    ("loss", "value"),
    [
        (Loss(name="mean_squared_error"), (0.04 + 0.09 + 0.01) / 3),
        (Loss(), -np.log(0.7)),
        (Loss(label_smoothing=0.3), -(0.1 * np.log(0.2) + 0.8 * np.log(0.7) + 0.1 * np.log(0.1))),
    ],
)
def test_losses(loss, value):
    assert float(make_loss(loss)(TRUTH, ANSWER)) == pytest.approx(value, rel=1e-4)


def test_settings_without_effect_are_refused():
    with pytest.raises(ValidationError, match="label_smoothing goes with"):
        Loss(name="mean_squared_error", label_smoothing=0.1)
    with pytest.raises(ValidationError, match="weight_decay goes with"):
        Optimizer(weight_decay=0.1)


def test_optimizers():
    adamw = make_optimizer(Optimizer(name="adamw", learning_rate=0.1, weight_decay=0.2))
    assert isinstance(adamw, keras.optimizers.AdamW)
    assert adamw.weight_decay == 0.2
    assert type(make_optimizer(Optimizer())) is keras.optimizers.Adam


@pytest.mark.parametrize(("policy", "few"), [(devices.FLOAT32, 4), (devices.MIXED, 4), (devices.MIXED, 5)])
def test_on_a_gpu_many_weights_change_in_one_operation_as_they_do_in_many(monkeypatch, policy, few):
    monkeypatch.setattr(losses_module, "FEW", few)

    def trained(gpu):
        monkeypatch.setattr(devices, "has_gpu", lambda: gpu)
        keras.utils.set_random_seed(1)
        with devices.computing_in(policy):
            network = keras.Sequential([keras.Input([4]), keras.layers.Dense(8), keras.layers.Dense(3, "softmax", dtype="float32")])
            optimizer = make_optimizer(Optimizer(name="adamw", learning_rate=0.1, weight_decay=0.2))
            network.compile(optimizer, make_loss(Loss()), jit_compile=False)
        images = np.random.default_rng(1).random((3, 4), np.float32)
        images[:2] *= np.array([[1e2], [0]])  # gradients too large for float16, until the loss is scaled by less
        rows = network.fit(np.tile(images, (20, 1)), np.tile(np.eye(3), (20, 1)), batch_size=3, epochs=2, shuffle=False, verbose=0)
        step = tf.function(lambda: optimizer.apply([tf.zeros(v.shape) for v in network.trainable_variables], network.trainable_variables))
        functions = step.get_concrete_function().graph.as_graph_def().library.function
        compiled = any("_XlaMustCompile" in function.attr for function in functions)
        scale = [float(v) for v in (getattr(optimizer, "dynamic_scale", 1), optimizer.iterations)]
        return rows.history["loss"], network.get_weights(), scale, compiled

    (losses, weights, scale, many), (one_losses, one_weights, one_scale, one) = trained(False), trained(True)
    assert (many, one) == (False, few == 4)  # the network has four variables
    assert one_scale == scale
    assert scale[0] < 2**15
    assert scale[1] > 20
    np.testing.assert_allclose(one_losses, losses, rtol=1e-4)
    for first, second in zip(weights, one_weights, strict=True):
        np.testing.assert_allclose(second, first, rtol=1e-3, atol=1e-4)


def test_class_weights_balance():
    weights = balanced_class_weights(np.array([0, 0, 0, 1, 1, 2]), 3)
    assert weights.tolist() == [pytest.approx(2 / 3), 1.0, 2.0]


LABELS = np.array([0, 0, 0, 0, 1, 1, 2])
SOURCES = np.array(["a", "a", "a", "b", "b", "b", "c"])


def weights(**settings):
    return image_weights(Model(backbone="MobileNet", **settings), LABELS, SOURCES, 3)


def test_within_each_class_every_source_weighs_the_same():
    assert weights() is None
    found = weights(source_weights=True)
    np.testing.assert_allclose(found, [2 / 3, 2 / 3, 2 / 3, 2, 1, 1, 1])
    both = weights(source_weights=True, class_weights=True)
    np.testing.assert_allclose(both, found * np.repeat([7 / 12, 7 / 6, 7 / 3], [4, 2, 1]))
    for label in range(3):
        own = label == LABELS
        sums = [both[own & (source == SOURCES)].sum() for source in np.unique(SOURCES[own])]
        np.testing.assert_allclose(sums, 7 / 3 / len(sums), rtol=1e-6)  # and every class as much as another


def test_classes_of_one_source_are_named():
    assert from_one_source(LABELS, SOURCES, ["x", "y", "z"]) == {"y": "b", "z": "c"}
