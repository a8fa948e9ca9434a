import keras
import numpy as np
import pytest

from cxr.trainer.ensemble.joining import joint_model
from cxr.trainer.ensemble.voting import HardVote
from cxr.trainer.explain.gradcam import GradCam, backbones_of
from cxr.trainer.models.heads import GRID

SIZE, CLASSES = 12, 3


def model(seed=0, output="dense"):
    keras.utils.set_random_seed(seed)
    small = keras.Input([SIZE, SIZE, 3])
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3, strides=2, activation="relu")(small))
    backbone = keras.Model(small, keras.layers.Conv2D(5, 2, activation="relu")(x), name="backbone")
    image = keras.Input([SIZE, SIZE, 3])
    x = backbone(keras.layers.Rescaling(2.0, -1.0)(image))
    x = keras.layers.GlobalAveragePooling2D()(x)
    if output == "nested":  # as the trainers build it
        inputs = keras.Input([5])
        y = keras.layers.Dense(CLASSES, activation="softmax")(keras.layers.Dense(6, activation="tanh")(inputs))
        return keras.Model(image, keras.Model(inputs, y, name="head")(x), name=f"model{seed}")
    x = keras.layers.Dense(6, activation="tanh")(x)
    if output == "dense":
        x = keras.layers.Dense(CLASSES, activation="softmax")(x)
    else:
        x = keras.layers.Activation("softmax")(keras.layers.Dense(CLASSES)(x))
    return keras.Model(image, x, name=f"model{seed}")


def grid_model(seed=0):
    """A head on a grid of pooled cells, as `head.pooling: average` builds it: only the left column has weight."""
    keras.utils.set_random_seed(seed)
    small = keras.Input([SIZE, SIZE, 3])
    backbone = keras.Model(small, keras.layers.Conv2D(5, 3, strides=3, activation="relu")(small), name="backbone")
    image = keras.Input([SIZE, SIZE, 3])
    x = keras.layers.Flatten(name=GRID)(keras.layers.AveragePooling2D(2)(backbone(image)))
    m = keras.Model(image, keras.layers.Dense(CLASSES, activation="softmax")(x))
    kernel, bias = m.layers[-1].get_weights()
    cells = kernel.reshape(2, 2, 5, CLASSES)  # rows, columns
    cells[:, 1] = 0
    m.layers[-1].set_weights([np.abs(cells).reshape(kernel.shape), bias])
    return m


def images(count=2):
    return np.random.default_rng(5).random((count, SIZE, SIZE, 3)).astype(np.float32)


def grad_cam(model, images, class_index=None):
    return GradCam(model)(images, class_index)


def numeric_grad_cam(model, image, class_index, step=1e-2):
    """The same with central differences of the score with respect to every cell of the feature map."""
    backbone = model.get_layer("backbone")
    maps = np.asarray(backbone(image[np.newaxis] * 2 - 1))[0].astype(np.float64)
    layers = model.get_layer("head").layers if "head" in [layer.name for layer in model.layers] else model.layers
    dense = [layer for layer in layers if isinstance(layer, keras.layers.Dense)]
    (w1, b1), (w2, b2) = (layer.get_weights() for layer in dense)

    def score(maps):
        return (np.tanh(maps.mean(axis=(0, 1)) @ w1 + b1) @ w2 + b2)[class_index]

    gradient = np.zeros_like(maps)
    for cell in np.ndindex(maps.shape):
        changed = [maps.copy(), maps.copy()]
        changed[0][cell] += step
        changed[1][cell] -= step
        gradient[cell] = (score(changed[0]) - score(changed[1])) / (2 * step)
    heat = np.maximum((maps * gradient.mean(axis=(0, 1))).sum(axis=2), 0)
    return heat / heat.max() if heat.max() > 0 else heat


@pytest.mark.parametrize("output", ["dense", "activation", "nested"])
@pytest.mark.parametrize("class_index", range(CLASSES))
def test_it_agrees_with_a_numeric_gradient(class_index, output):
    m, x = model(3, output), images()
    heat = grad_cam(m, x, class_index)
    assert heat.shape == (2, 4, 4)
    for i in range(2):
        np.testing.assert_allclose(heat[i], numeric_grad_cam(m, x[i], class_index), atol=1e-4)
    assert heat.max() > 0


def test_the_predicted_class_is_the_default_and_each_image_may_have_its_own():
    m, x = model(3), images()
    predicted = np.asarray(m(x)).argmax(axis=1)
    np.testing.assert_allclose(grad_cam(m, x), grad_cam(m, x, predicted), atol=1e-6)
    one, other = grad_cam(m, x, 0), grad_cam(m, x, 1)
    np.testing.assert_allclose(grad_cam(m, x, [0, 1]), [one[0], other[1]], atol=1e-6)


def test_frozen_models_are_explained_too_and_stay_as_they_are():
    m, x = model(3), images()
    before, answer = grad_cam(m, x), np.asarray(m(x))
    m.trainable = False
    np.testing.assert_allclose(grad_cam(m, x), before)
    np.testing.assert_array_equal(m(x), answer)


def test_no_evidence_is_an_empty_map():
    m = model(3)
    last = m.layers[-1]
    last.set_weights([np.zeros_like(w) for w in last.get_weights()])
    assert not grad_cam(m, images(), 0).any()


def test_a_grid_head_keeps_the_position_of_its_evidence():
    heat = grad_cam(grid_model(), images(), 1)
    assert heat.shape == (2, 4, 4)
    assert (heat[:, :, :2] > 0).any(axis=(1, 2)).all()
    assert not heat[:, :, 2:].any()  # an average of the gradient would put evidence there


def test_an_ensemble_is_explained_by_its_members():
    joint = joint_model({"one": model(1), "two": model(2)}, HardVote(), SIZE)
    parts = backbones_of(joint, "joint")
    assert list(parts) == ["one", "two"]
    np.testing.assert_allclose(grad_cam(parts["two"], images(), 1), grad_cam(model(2), images(), 1), atol=1e-6)
    alone = model(1)
    assert backbones_of(alone, "mobilenet") == {"mobilenet": alone}


def test_wrong_models_and_classes_are_named():
    with pytest.raises(ValueError, match="class_index 3: the model has 3 classes"):
        grad_cam(model(), images(), 3)
    with pytest.raises(ValueError, match="no layer named 'backbone'"):
        grad_cam(keras.Sequential([keras.Input([4, 4, 3]), keras.layers.Flatten()]), np.zeros((1, 4, 4, 3)))
