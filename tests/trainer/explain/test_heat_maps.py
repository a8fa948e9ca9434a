"""Of several members' maps one, and of a feature map's cells a map of the whole picture."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from cxr.core import features
from cxr.trainer.ensemble.voting import HardVote, Stacking, WeightedVote
from cxr.trainer.explain.gradcam import GradCam
from cxr.trainer.explain.heat_maps import HeatMaps, member_weights, placing
from cxr.trainer.models.heads import GRID

CLASSES, SIZE = 3, 24
SHARES = [np.array([[0.7, 0.2, 0.1]], np.float32), np.array([[0.1, 0.6, 0.3]], np.float32)]


def member(seed, stride=6, dtype="float32", grid=False):
    """A backbone of one layer and a head with a hidden one."""
    keras.utils.set_random_seed(seed)
    policy = {"dtype": dtype}
    image = keras.Input([SIZE, SIZE, 3], **policy)
    x = keras.layers.Conv2D(5, 3, stride, activation="relu", name="backbone", **policy)(image)
    pooled = keras.layers.AveragePooling2D(2, **policy)(x) if grid else keras.layers.GlobalAveragePooling2D(**policy)(x)
    x = keras.layers.Flatten(name=GRID, **policy)(pooled) if grid else pooled
    width = keras.Input([x.shape[-1]], **policy)
    y = keras.layers.Dense(4, "tanh", **policy)(width)
    head = keras.Model(width, keras.layers.Dense(CLASSES, "softmax", **policy)(y), name="head")
    return keras.Model(image, head(x), name=f"member{seed}")


def pictures(count=2, dtype=np.float32):
    return np.random.default_rng(1).random((count, SIZE, SIZE, 3)).astype(dtype)


def explained(heat_maps, models, images, class_index, vote=None, seen=None):
    seen = tf.constant(seen or [features.WHOLE] * len(images))
    maps = {name: GradCam(model).front(images) for name, model in models.items()}
    shares = [model(images) for model in models.values()]
    probabilities = vote(shares) if vote else shares[0]
    found = heat_maps(maps, probabilities, shares if vote else [], tf.constant(class_index, tf.int64), seen)
    return {key: value.numpy() for key, value in found.items()}


@pytest.mark.parametrize("grid", [False, True])
@pytest.mark.parametrize("class_index", range(CLASSES))
def test_every_cell_agrees_with_finite_differences_in_double_precision(grid, class_index):
    model = member(3, dtype="float64", grid=grid)
    cam, images = GradCam(model), pictures(1, np.float64)
    maps = cam.front(images)
    head = model.get_layer("head")
    pooling = [layer for layer in model.layers[2:] if layer is not head]
    hidden, last = head.layers[1:]

    def score(changed):  # of many feature maps at once, before the softmax
        x = changed
        for layer in pooling:
            x = layer(x)
        return (hidden(x) @ last.kernel.value + last.bias.value).numpy()[:, class_index]

    step, cells = 1e-5, tf.size(maps).numpy()
    moved = step * np.eye(cells).reshape(cells, *maps.shape[1:])
    gradient = ((score(maps + moved) - score(maps - moved)) / (2 * step)).reshape(maps.shape[1:])
    if not grid:
        gradient = np.broadcast_to(gradient.mean(axis=(0, 1)), gradient.shape)
    heat = np.maximum((gradient * maps.numpy()[0]).sum(axis=2), 0)
    assert heat.max() > 0
    found = cam.heat(maps, tf.constant([class_index], tf.int64)).numpy()[0]
    np.testing.assert_allclose(found, heat / heat.max(), atol=1e-9)


def test_an_ensembles_map_is_the_sum_of_its_members_by_their_weight():
    models = {"one": member(3, stride=6), "two": member(6, stride=3)}
    vote = WeightedVote([0.25, 0.75])
    found = explained(HeatMaps({name: GradCam(model) for name, model in models.items()}, vote), models, pictures(), [0, 1], vote)
    own = {name: GradCam(model)(pictures(), [0, 1]) for name, model in models.items()}
    assert own["one"].shape == (2, 4, 4)
    assert own["two"].shape == (2, 8, 8)  # the common grid is the finest one
    enlarged = np.asarray(tf.image.resize(own["one"][..., np.newaxis], [8, 8]))[..., 0]
    np.testing.assert_allclose(found["heat_map_of_one"], enlarged / enlarged.max(axis=(1, 2), keepdims=True), atol=1e-6)
    np.testing.assert_allclose(found["heat_map_of_two"], own["two"], atol=1e-6)
    total = 0.25 * found["heat_map_of_one"] + 0.75 * found["heat_map_of_two"]
    np.testing.assert_allclose(found[features.HEAT_MAP], total / total.max(axis=(1, 2), keepdims=True), atol=1e-6)
    assert found[features.EXPLAINED_CLASS].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("vote", "expected"), [(WeightedVote([0.25, 0.75]), [0.25, 0.75]), (WeightedVote([0.0, 1.0]), [0, 1]), (HardVote(), [0.5, 0.5])]
)
def test_a_members_weight_is_its_share(vote, expected):
    weights = member_weights(vote, [tf.constant(p) for p in SHARES], tf.constant([1], tf.int64)).numpy()
    np.testing.assert_allclose(weights, [expected], atol=1e-6)


def test_a_stacked_members_weight_is_how_much_the_class_rises_with_it():
    layer = Stacking(CLASSES)
    layer.build([(None, CLASSES)] * 2)
    kernel = np.concatenate([0.8 * np.eye(CLASSES), 0.2 * np.eye(CLASSES)])
    kernel[CLASSES + 1, 1] = -0.1  # against the second member's word on class 1
    layer.dense.set_weights([kernel, np.zeros(CLASSES)])

    def rises(number, class_index):
        changed = [p.copy() for p in SHARES]
        changed[number][0, class_index] += 1e-3
        return max(0.0, float(layer(changed)[0, class_index] - layer(SHARES)[0, class_index]))

    for class_index in (0, 1):
        weights = member_weights(layer, [tf.constant(p) for p in SHARES], tf.constant([class_index], tf.int64)).numpy()[0]
        slopes = np.array([rises(number, class_index) for number in (0, 1)])
        np.testing.assert_allclose(weights, slopes / slopes.sum(), atol=2e-3)
    assert weights.tolist() == [1, 0]
    kernel[:, 1] = -1  # the layer cuts the class off at zero: no member can raise it
    layer.dense.set_weights([kernel, np.zeros(CLASSES)])
    assert not member_weights(layer, [tf.constant(p) for p in SHARES], tf.constant([1], tf.int64)).numpy().any()


def test_no_evidence_is_an_empty_map_that_says_so():
    model = member(4)
    last = model.get_layer("head").layers[-1]
    last.set_weights([np.zeros_like(weight) for weight in last.get_weights()])
    found = explained(HeatMaps({"alone": GradCam(model)}), {"alone": model}, pictures(), [0])
    assert not found[features.HEAT_MAP].any()
    assert found[features.HEAT_MAP_EMPTY].tolist() == [True, True]
    assert not explained(HeatMaps({"alone": GradCam(member(4))}), {"alone": member(4)}, pictures(), [0])[features.HEAT_MAP_EMPTY].all()


def test_what_rounding_leaves_is_no_evidence():
    model = member(4)
    head = model.get_layer("head")
    kernel, _ = head.layers[1].get_weights()
    balanced = np.zeros_like(kernel)
    balanced[0], balanced[1] = 1, -1  # as much for as against, but for the rounding of a tenth in float32
    head.layers[1].set_weights([balanced, np.zeros(4)])
    maps = np.zeros((1, 4, 4, 5), np.float32)
    maps[..., 0], maps[..., 1] = 0.1 + 1e-8, 0.1
    assert not GradCam(model).heat(tf.constant(maps), tf.constant([0], tf.int64)).numpy().any()


def test_the_predicted_class_is_explained_unless_another_is_asked_for():
    model = member(5)
    predicted = np.asarray(model(pictures())).argmax(axis=1)
    heat_maps = HeatMaps({"alone": GradCam(model)})
    for asked, expected in (([features.PREDICTED_CLASS], predicted), ([features.PREDICTED_CLASS, 1], [predicted[0], 1]), ([2], [2, 2])):
        found = explained(heat_maps, {"alone": model}, pictures(), asked)
        assert found[features.EXPLAINED_CLASS].tolist() == list(expected)
        np.testing.assert_allclose(found[features.HEAT_MAP], GradCam(model)(pictures(), list(expected)), atol=1e-6)
    for wrong in (CLASSES, -2):
        with pytest.raises(tf.errors.InvalidArgumentError, match="class_index: the model has the classes 0 to 2 .-1: the predicted one."):
            explained(heat_maps, {"alone": model}, pictures(), [wrong])


def test_what_the_network_does_not_see_stays_cold():
    model = member(6, stride=3)
    whole = explained(HeatMaps({"alone": GradCam(model)}), {"alone": model}, pictures(), [1])[features.HEAT_MAP]
    boxes = [[0.1, 0.1, 0.9, 0.9], [0.0, 0.2, 0.8, 1.0]]
    found = explained(HeatMaps({"alone": GradCam(model)}, enlargement=1.25), {"alone": model}, pictures(), [1], seen=boxes)[
        features.HEAT_MAP
    ]
    assert (whole.shape, found.shape) == ((2, 8, 8), (2, 10, 10))
    for (top, left, *_), seen, expected in zip(boxes, found, whole, strict=True):
        rows, columns = (slice(round(10 * edge), round(10 * edge) + 8) for edge in (top, left))
        np.testing.assert_allclose(seen[rows, columns], expected, atol=1e-5)
        seen[rows, columns] = 0
    assert not found.any()


def test_cells_are_laid_out_where_they_are():
    zero, one = tf.constant([0.0]), tf.constant([1.0])
    np.testing.assert_allclose(placing(2, 4, zero, one)[0], np.array([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1.0]]))
    np.testing.assert_allclose(placing(3, 3, zero, one)[0], np.eye(3), atol=1e-6)
    some = placing(2, 4, tf.constant([0.25, 0.5]), tf.constant([0.75, 1.0]))
    assert some.numpy().sum(axis=2).tolist() == [[0, 1, 1, 0], [0, 0, 1, 1]]
