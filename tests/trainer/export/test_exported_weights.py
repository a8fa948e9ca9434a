"""The graph that is exported has fewer nodes than Keras would trace, and the same answers."""

from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf

from cxr.trainer.export.exported_weights import ExportedWeights
from cxr.trainer.export.network import single_network
from cxr.trainer.models.backbones import LAYER

SIZE = 16


def model_of(policy="float32"):
    """Every kind of normalisation and activation that keras.applications has, and one over another axis; numbers as after a training."""
    keras.utils.set_random_seed(5)
    layers = keras.layers
    with_policy = {"dtype": keras.dtype_policies.get(policy)}
    image = keras.Input([SIZE, SIZE, 3])
    x = layers.Conv2D(8, 3, use_bias=False, **with_policy)(image)
    x = layers.Activation("silu", **with_policy)(layers.BatchNormalization(axis=3, epsilon=1e-5, **with_policy)(x))
    x = layers.Conv2D(8, 3, activation="silu", **with_policy)(x)
    x = layers.Activation("relu", **with_policy)(layers.BatchNormalization(scale=False, **with_policy)(x))
    x = layers.BatchNormalization(center=False, **with_policy)(layers.DepthwiseConv2D(3, **with_policy)(x))
    x = layers.BatchNormalization(axis=1, name="over_rows", **with_policy)(x)
    backbone = keras.Model(image, x, name=LAYER)
    drawn = np.random.default_rng(1)
    for layer in backbone.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([drawn.uniform(0.5, 1.5, value.shape) for value in layer.get_weights()])
    outside = keras.Input([SIZE, SIZE, 3])
    head = layers.Dense(3, activation="softmax", dtype="float32")
    return keras.Model(outside, head(layers.GlobalAveragePooling2D(dtype="float32")(backbone(outside))), name="made")


def traced(model):
    weights = ExportedWeights(single_network(model))
    shape = tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32)
    return tf.function(weights.answer, autograph=False).get_concrete_function(shape)


@pytest.fixture(scope="module")
def images():
    drawn = np.random.default_rng(0).uniform(size=[4, SIZE, SIZE, 3])
    return tf.constant(drawn * np.reshape([0, 1, 4, 16], [4, 1, 1, 1]), tf.float32)


@pytest.mark.parametrize(("policy", "tolerance"), [("float32", 1e-6), ("mixed_float16", 2e-3)])
def test_the_answers_are_those_of_the_model(policy, tolerance, images):
    model = model_of(policy)
    expected = model(images, training=False).numpy()
    assert np.ptp(expected, axis=0).max() > 10 * tolerance  # the images differ
    np.testing.assert_allclose(traced(model)(images)["probabilities"], expected, atol=tolerance)


def test_a_normalization_is_one_product_and_one_sum():
    nodes = Counter(node.type for node in traced(model_of()).graph.get_operations())
    assert nodes["Rsqrt"] == 1  # of the one over rows, which stays as it is
    assert (nodes["Mul"], nodes["AddV2"]) == (3 + 2 + 3, 3 + 2)  # normalisations, activations, over rows
    assert nodes["IdentityN"] == 0


def test_the_model_is_left_as_it_was(images):
    model = model_of()
    before = model(images, training=False).numpy()
    traced(model)
    np.testing.assert_array_equal(model(images, training=False), before)
    activation = model.get_layer(LAYER).get_layer(index=3).activation
    assert activation is keras.activations.silu
    assert model(images, training=True).shape == before.shape
    with pytest.raises(AssertionError):
        np.testing.assert_array_equal(model(images, training=False), before)  # its statistics follow the batch again


def test_weights_that_change_later_change_no_answer(images):
    model = model_of()
    answer = traced(model)
    before = answer(images)["probabilities"].numpy()
    normalization = model.get_layer(LAYER).get_layer(index=2)
    normalization.gamma.assign(normalization.gamma * 3)
    np.testing.assert_array_equal(answer(images)["probabilities"], before)
