"""An ensemble with all that it may say, exported: every signature agrees with what was fitted."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from session_check import check_export
from transformed import images_of

from cxr.core import features
from cxr.trainer import model_info
from cxr.trainer.calibration import conformal, outside
from cxr.trainer.calibration.temperature import apply
from cxr.trainer.ensemble.joining import joint_model
from cxr.trainer.ensemble.voting import WeightedVote
from cxr.trainer.explain.gradcam import GradCam
from cxr.trainer.export.network import joint_network
from cxr.trainer.export.recorded_requests import image_of
from cxr.trainer.export.saved_model import export_model
from cxr.trainer.transform_graph import TransformGraph

pytestmark = pytest.mark.slow  # one export, which all tests read

SIZE, CLASSES = 32, 3
TEMPERATURE, SHIFT, LEAST = 0.4, 0.1, 0.3
BORDER = 1 / 4  # of 20 cells the network sees 10


def member(seed):
    keras.utils.set_random_seed(seed)
    image = keras.Input([SIZE, SIZE, 3])
    x = keras.layers.Conv2D(6, 5, strides=3, activation="relu", kernel_initializer="random_normal", name="backbone")(image)
    pooled = keras.Input([6])
    head = keras.Model(pooled, keras.layers.Dense(CLASSES, "softmax", kernel_initializer=keras.initializers.RandomNormal(0, 9))(pooled))
    return keras.Model(image, head(keras.layers.GlobalAveragePooling2D()(x)))


def pooled_of(model, images):
    return np.asarray(keras.Model(model.input, model.layers[-2].output)(images))


@pytest.fixture(scope="module")
def members():
    return {"one": member(1), "two": member(2)}


@pytest.fixture(scope="module")
def transform(make_transform, raw_examples):
    return TransformGraph(make_transform(raw_examples, border=BORDER), features.CLASS_NAMES)


@pytest.fixture(scope="module")
def images(transform, raw_examples):
    return images_of(transform, raw_examples)


@pytest.fixture(scope="module")
def detectors(members, images):
    fitted = {}
    for name, model in members.items():
        x = pooled_of(model, images)
        detector, _ = outside.fit({"train": np.tile(x, [2, 1]), "val": x}, 0.5, 0)
        assert detector is not None
        fitted[name] = detector
    return fitted


@pytest.fixture(scope="module")
def exported(members, detectors, transform, tmp_path_factory):
    model = joint_model(members, WeightedVote([0.25, 0.75]), SIZE, TEMPERATURE)
    directory = str(tmp_path_factory.mktemp("ensemble") / "Format-Serving")
    network = joint_network(model, members, detectors, SHIFT)
    sets = {"coverage": 0.75, "least_probability": LEAST, "split": "val", "images": 9, "covered": 0.8, "mean_size": 1.5}
    info = {"preprocessing": {"border": BORDER}, "conformal": sets}
    export_model(network, name="ensemble", transform=transform, info=info, directory=directory)
    return directory


def test_every_signature_gives_all_outputs(exported, members, detectors, images, raw_examples):
    one, two = (np.asarray(model(images)) for model in members.values())
    probabilities = apply(0.25 * one + 0.75 * two, TEMPERATURE)
    scores = outside.joint_scores([detectors[name].scores(pooled_of(model, images)) for name, model in members.items()], SHIFT)
    sets = conformal.members(probabilities, LEAST)
    assert 0 < (scores > features.UNLIKE_BORDER).mean() < 1
    assert 0 < sets.mean() < 1
    signatures = tf.saved_model.load(exported).signatures
    encoded = tf.constant([image_of(example) for example in raw_examples])
    for answer in (
        signatures["serving_default"](examples=tf.constant(raw_examples)),
        signatures["image_bytes"](image_bytes=encoded),
        signatures["image_tensor"](image_tensor=images),
    ):
        assert set(answer) == {
            *(features.PROBABILITIES, features.PREDICTED_LABEL, features.OUTPUT_CLASS_NAMES, "probabilities_one", "probabilities_two"),
            *(features.UNLIKE_TRAINING, features.OUTSIDE, features.CONFORMAL_SET),
        }
        np.testing.assert_allclose(answer[features.PROBABILITIES], probabilities, atol=1e-5)
        np.testing.assert_allclose(answer["probabilities_two"], two, atol=1e-5)
        np.testing.assert_allclose(answer[features.UNLIKE_TRAINING], scores, atol=1e-3)  # see SCORE_FACTOR
        np.testing.assert_array_equal(answer[features.OUTSIDE], scores > features.UNLIKE_BORDER)
        np.testing.assert_array_equal(answer[features.CONFORMAL_SET], sets)
        assert answer[features.OUTSIDE].dtype == tf.bool


def test_it_tells_what_its_sets_were_made_to_hold(exported):
    reading = tf.saved_model.load(exported).signatures[features.SIGNATURE_READING]
    told = reading(image_reading=tf.constant(["", ""]))
    assert told[features.CONFORMAL_COVERAGE].numpy().tolist() == [0.75, 0.75]


def test_a_session_as_servings_gives_the_recorded_answers(exported):
    assert check_export(exported) == 7
    assert check_export(exported, [features.SIGNATURE_GRADCAM]) == 2
    assert model_info.read_info(exported).name == "ensemble"


def test_tensorflows_cpp_loader_gives_prediction_and_map_in_one_call(cpp_session, exported, members, images, raw_examples):
    encoded = [image_of(example) for example in raw_examples]
    classes = np.array([features.PREDICTED_CLASS, 0, 1, 2] * 3)
    session = cpp_session(exported)
    pictures = {features.SIGNATURE_BYTES: np.array(encoded, object)}
    answer = session.run(features.SIGNATURE_GRADCAM, {**pictures, features.CLASS_INDEX: classes})
    predicted = session.run(features.SIGNATURE_BYTES, pictures)
    for key, value in predicted.items():  # everything that the image signature gives
        if value.dtype == np.float32:
            np.testing.assert_allclose(answer[key], value, atol=1e-6)
        else:
            assert answer[key].tolist() == value.tolist()
    explained = np.where(classes < 0, predicted[features.PROBABILITIES].argmax(axis=1), classes)
    assert answer[features.EXPLAINED_CLASS].tolist() == explained.tolist()
    own = {name: GradCam(model)(images, explained) for name, model in members.items()}
    joint = np.zeros((12, 20, 20), np.float32)
    inside = 0.25 * own["one"] + 0.75 * own["two"]
    joint[:, 5:15, 5:15] = inside / np.maximum(inside.max(axis=(1, 2), keepdims=True), 1e-9)
    assert answer[features.HEAT_MAP].dtype == np.float32
    np.testing.assert_allclose(answer[features.HEAT_MAP], joint, atol=1e-3)
    assert answer[features.HEAT_MAP_EMPTY].tolist() == (~inside.any(axis=(1, 2))).tolist()
    assert {key for key in answer if key.startswith("heat_map_of_")} == {"heat_map_of_one", "heat_map_of_two"}
    assert not {key for key in answer if key.startswith("feature_map")}  # large, and nobody's business


def test_the_class_may_be_left_out_of_a_request_for_one_image(cpp_session, exported, raw_examples):
    session = cpp_session(exported)
    pictures = {features.SIGNATURE_BYTES: np.array([image_of(raw_examples[0])], object)}
    assert features.CLASS_INDEX in session.signatures[features.SIGNATURE_GRADCAM].defaults
    left_out = session.run(features.SIGNATURE_GRADCAM, pictures)
    said = session.run(features.SIGNATURE_GRADCAM, {**pictures, features.CLASS_INDEX: np.array([features.PREDICTED_CLASS])})
    np.testing.assert_array_equal(left_out[features.HEAT_MAP], said[features.HEAT_MAP])
    with pytest.raises(RuntimeError, match=r"^3: .*class_index: the model has the classes 0 to 2"):  # INVALID_ARGUMENT
        session.run(features.SIGNATURE_GRADCAM, {**pictures, features.CLASS_INDEX: np.array([3])})


@pytest.mark.parametrize("count", [0, 33])
def test_batches_of_any_size(exported, raw_examples, count):
    examples = [raw_examples[i % len(raw_examples)] for i in range(count)]
    answer = tf.saved_model.load(exported).signatures["serving_default"](examples=tf.constant(examples, tf.string))
    assert answer[features.UNLIKE_TRAINING].shape == answer[features.OUTSIDE].shape == (count,)
    assert answer[features.CONFORMAL_SET].shape == (count, CLASSES)


def test_members_without_a_detector_leave_the_score_out(members):
    model = joint_model({name: keras.models.clone_model(m) for name, m in members.items()}, WeightedVote([0.5, 0.5]), SIZE)
    network = joint_network(model, members, {}, None)
    assert set(network.answers) == {features.PROBABILITIES, "probabilities_one", "probabilities_two"}
