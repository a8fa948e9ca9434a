import keras
import numpy as np
import pytest
import tensorflow as tf

from cxr.core.errors import CxrError
from cxr.trainer.models import bn_recalibration
from cxr.trainer.models.bn_recalibration import batch_norm_layers, recalibrate_channels, recalibrate_layers


def network():
    keras.utils.set_random_seed(3)
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3)(image)
    x = keras.layers.BatchNormalization(name="first", momentum=0.7)(x)
    x = keras.layers.Dropout(0.5)(x)
    x = keras.layers.Conv2D(5, 3, activation="relu")(x)
    x = keras.layers.BatchNormalization(name="second")(x)
    return keras.Model(image, x)


def batches(count=4):
    images = np.random.default_rng(0).uniform(size=(count, 6, 8, 8, 3)).astype(np.float32)
    return images * np.arange(1, count + 1)[:, None, None, None, None].astype(np.float32)  # brighter from batch to batch


def test_the_first_layer_gets_the_exact_pooled_moments():
    model, images = network(), batches()
    model.trainable = False
    recalibrate_channels(model, model, [tf.constant(b) for b in images], len(images))
    values = model.layers[1](images.reshape(-1, 8, 8, 3)).numpy()
    first, second = batch_norm_layers(model)
    np.testing.assert_allclose(first.moving_mean, values.mean(axis=(0, 1, 2)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(first.moving_variance, values.var(axis=(0, 1, 2)), rtol=1e-4)
    assert not np.allclose(second.moving_variance, 1)


def test_later_layers_see_normalised_inputs_without_dropout():
    model, images = network(), batches(1)
    recalibrate_channels(model, model, [tf.constant(images[0])], 1)
    # With a single batch, inference normalises as training did: all is consistent.
    outputs = model(images[0], training=False).numpy()
    np.testing.assert_allclose(outputs.mean(axis=(0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(outputs.var(axis=(0, 1, 2)), 1, atol=0.05)


def test_what_was_borrowed_is_given_back():
    model = network()
    model.trainable = False
    weights = [w.copy() for layer in model.layers if "conv" in layer.name for w in layer.get_weights()]
    recalibrate_channels(model, model, [tf.constant(batches(1)[0])], 1)
    first, _ = batch_norm_layers(model)
    assert (first.momentum, first.trainable, model.layers[3].rate) == (0.7, False, 0.5)
    after = [w for layer in model.layers if "conv" in layer.name for w in layer.get_weights()]
    assert all(np.array_equal(a, b) for a, b in zip(weights, after, strict=True))


@pytest.mark.parametrize(
    ("images", "message"), [([tf.fill([2, 8, 8, 3], np.nan)], "first yields numbers that are not finite"), ([], "no training images")]
)
def test_faults(images, message):
    model = network()
    with pytest.raises(CxrError, match=message):
        recalibrate_channels(model, model, images, len(images))


def test_rescaling_gives_every_layer_unit_mean_square_and_leaves_its_channels_apart():
    model, images = network(), tf.constant(batches(1)[0])
    before = model.layers[1](images).numpy()
    recalibrate_layers(model, model, images)
    first, _ = batch_norm_layers(model)
    np.testing.assert_allclose(first.moving_variance, np.full(4, np.square(before).mean()), rtol=1e-4)
    np.testing.assert_allclose(first.moving_mean, 0)
    outputs = model(images, training=False).numpy()
    np.testing.assert_allclose(np.square(outputs).mean(), 1, rtol=1e-2)
    assert np.square(outputs).mean(axis=(0, 1, 2)).std() > 0.1
    again = model(images, training=False).numpy()  # the layers are themselves again: another batch changes nothing
    model(images * 9, training=False)
    np.testing.assert_array_equal(model(images, training=False).numpy(), again)


def test_rescaling_measures_each_layer_behind_the_rescaled_ones_before_it():
    """By the definition, one layer after the other; the network is nested, as in an extractor."""
    inner, images = network(), tf.constant(batches(1)[0])
    before = inner.to_json()
    outer = keras.Sequential([keras.Input((8, 8, 3)), inner, keras.layers.GlobalAveragePooling2D()])
    outer = keras.Model(outer.inputs, outer.outputs)
    recalibrate_layers(outer, inner, images)
    assert inner.to_json() == before
    for layer in batch_norm_layers(inner):
        given = keras.Model(inner.inputs, layer.input)(images, training=False)  # the layers before normalise by what they got
        square = np.square(given.numpy(), dtype=np.float64).mean()
        np.testing.assert_allclose(layer.moving_variance, np.full(layer.moving_variance.shape, square), rtol=1e-6)
        np.testing.assert_array_equal(layer.moving_mean, 0)


def test_rescaling_refuses_a_dead_layer():
    model = network()
    with pytest.raises(CxrError, match="first yields nothing"):
        recalibrate_layers(model, model, tf.zeros([2, 8, 8, 3]))


def test_rescaling_runs_its_graph_unoptimised_and_leaves_the_optimiser_as_it_was(monkeypatch):
    seen, real = [], bn_recalibration._UnitMeanSquare.call

    def disabled():
        return tf.config.optimizer.get_experimental_options().get("disable_meta_optimizer", False)

    def spying(layer, x, mask=None):
        seen.append(disabled())
        return real(layer, x, mask)

    monkeypatch.setattr(bn_recalibration._UnitMeanSquare, "call", spying)
    model = network()
    recalibrate_layers(model, model, tf.constant(batches(1)[0]))
    assert seen[-2:] == [True, True]
    assert not disabled()
