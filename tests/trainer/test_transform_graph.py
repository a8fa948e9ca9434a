import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cxr.core.errors import CxrError
from cxr.trainer import contrast
from cxr.trainer.export.recorded_requests import image_of
from cxr.trainer.preprocessing import decode_and_crop, decode_and_resize, label_to_index
from cxr.trainer.transform_graph import TransformGraph

pytestmark = pytest.mark.seconds

CLASSES = ("covid19", "pneumonia", "normal")


def encoded(examples):
    return tf.constant([image_of(example) for example in examples])


def test_images_and_labels_go_their_own_ways(transform, raw_examples):
    images = transform.images(encoded(raw_examples)).numpy()
    assert images.shape == (12, 32, 32, 3)
    np.testing.assert_allclose(images[..., :1], decode_and_resize(encoded(raw_examples), 32), atol=1e-6)
    np.testing.assert_array_equal(images[..., 0], images[..., 2])
    np.testing.assert_array_equal(transform.image(encoded(raw_examples)[3]), images[3])
    assert transform.label_indices(tf.constant(["normal", "flu", "covid19"])).numpy().tolist() == [2, -1, 0]
    assert transform.images(tf.constant([], tf.string)).shape == (0, 32, 32, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="neither PNG nor JPEG"):
        transform.images(tf.constant([b"text"]))


def picture(mean, spread, seed):
    grey = np.random.default_rng(seed).normal(mean, spread, (64, 64)).clip(0, 255)
    file = io.BytesIO()
    Image.fromarray(grey.round().astype(np.uint8)).save(file, "png")
    return file.getvalue()


@pytest.fixture(scope="module")
def two_hospitals(raw_examples):
    """Examples of which one half is bright and flat, the other dark and rich in contrast."""
    examples = []
    for number, example in enumerate(raw_examples):
        changed = tf.train.Example.FromString(example)
        changed.features.feature["image"].bytes_list.value[:] = [picture(*((170, 10) if number % 2 else (70, 30)), number)]
        examples.append(changed.SerializeToString())
    return examples


def test_normalization_by_the_training_set_is_one_map_for_all(make_transform, two_hospitals):
    plain = decode_and_resize(encoded(two_hospitals), 32).numpy()
    graph = TransformGraph(make_transform(two_hospitals, normalization="training_set"), CLASSES)
    images = graph.images(encoded(two_hospitals)).numpy()[..., :1]
    expected = np.clip(0.5 + (plain - plain.mean()) / (4 * plain.std()), 0, 1)
    np.testing.assert_allclose(images, expected, atol=1e-4)
    # of the split that was analysed, not of what comes in
    np.testing.assert_allclose(graph.images(encoded(two_hospitals[:1])).numpy()[..., :1], expected[:1], atol=1e-4)


def test_normalization_by_image_takes_brightness_and_contrast_away(make_transform, two_hospitals):
    plain = decode_and_resize(encoded(two_hospitals), 32).numpy()
    graph = TransformGraph(make_transform(two_hospitals, normalization="per_image"), CLASSES)
    images = graph.images(encoded(two_hospitals)).numpy()[..., 0]
    np.testing.assert_allclose(images.mean(axis=(1, 2)), plain.mean(), atol=2e-3)
    np.testing.assert_allclose(images.std(axis=(1, 2)), plain.std(axis=(1, 2)).mean(), rtol=2e-2)
    flat = io.BytesIO()
    Image.fromarray(np.full((40, 40), 128, np.uint8)).save(flat, "png")
    assert np.isfinite(graph.images(tf.constant([flat.getvalue()])).numpy()).all()


def test_border_and_contrast_come_before_normalization(make_transform, two_hospitals):
    graph = TransformGraph(make_transform(two_hospitals, border=0.1, contrast="percentiles", normalization="per_image"), CLASSES)
    images = graph.images(encoded(two_hospitals)).numpy()[..., 0]
    inner = contrast.apply(decode_and_resize(encoded(two_hospitals), 32, 0.1), "percentiles").numpy()[..., 0]
    means, spreads = inner.mean(axis=(1, 2), keepdims=True), inner.std(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(images, np.clip(means.mean() + (inner - means) / spreads * spreads.mean(), 0, 1), atol=1e-3)


def plain(inputs, custom_config):
    """What a graph yields that says nothing of what it shows; without a picture's way through it, which takes seconds to trace."""
    length = tf.cast(tf.strings.length(inputs["image"]), tf.float32)[:, :, None, None]
    return {
        "image_tensor": tf.tile(length, [1, custom_config["image_size"], custom_config["image_size"], 3]),
        "label_index": label_to_index(inputs["label"], custom_config["class_names"]),
    }


def renumbering(inputs, custom_config):
    outputs = plain(inputs, custom_config)
    return {**outputs, "label_index": 2 - outputs["label_index"]}


def mixing(inputs, custom_config):
    outputs = plain(inputs, custom_config)
    return {**outputs, "image_tensor": outputs["image_tensor"] + tf.cast(tf.strings.length(inputs["view"]), tf.float32)[:, :, None, None]}


@pytest.mark.parametrize(
    ("function", "message"),
    [(renumbering, r"as \[2, 1, 0\].*in the order of data.class_names"), (mixing, "'image_tensor' must follow from 'image' alone")],
)
def test_a_graph_that_a_server_could_not_apply_is_refused(make_transform, raw_examples, function, message):
    with pytest.raises(CxrError, match=message):
        TransformGraph(make_transform(raw_examples, function=function), CLASSES)


def test_a_missing_graph_is_named(tmp_path):
    with pytest.raises(CxrError, match=f"{tmp_path}: not what a Transform component wrote"):
        TransformGraph(str(tmp_path), CLASSES)


def test_the_crop_is_in_the_graph_which_says_what_it_left(make_transform, chest_examples):
    images = encoded(chest_examples)
    graph = TransformGraph(make_transform(chest_examples, crop="thorax", border=0.05), CLASSES)
    expected, seen = decode_and_crop(images, 32, 0.05, "thorax")
    np.testing.assert_allclose(graph.images(images)[..., :1], expected, atol=1e-5)
    np.testing.assert_allclose(graph.images_and_boxes(images)[1], seen, atol=1e-6)
    assert np.ptp(graph.images_and_boxes(images)[1], axis=0).max() > 0.01  # each picture its own
    assert graph.images_and_boxes(tf.constant([], tf.string))[1].shape == (0, 4)


def test_a_graph_that_does_not_say_what_it_shows_shows_all(make_transform, raw_examples):
    graph = TransformGraph(make_transform(raw_examples, function=plain), CLASSES)
    np.testing.assert_array_equal(graph.images_and_boxes(encoded(raw_examples))[1], [[0, 0, 1, 1]] * len(raw_examples))
