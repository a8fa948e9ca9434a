import io
import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from session_check import check_export
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.saved_model import loader_impl
from tensorflow_serving.apis import prediction_log_pb2
from transformed import images_of

from cxr.core import features
from cxr.core.errors import CxrError
from cxr.core.places import WARM_UP
from cxr.data.images.reader import READING_RULES, encode, read_image
from cxr.trainer import model_info
from cxr.trainer.export.network import single_network
from cxr.trainer.export.recorded_requests import RECORDED_REQUESTS, example_of, image_of, read_recorded, write_logs
from cxr.trainer.export.saved_model import export_model
from cxr.trainer.export.signatures import Signatures
from cxr.trainer.export.trained_answers import TrainedAnswers
from cxr.trainer.models.bn_recalibration import batch_norm_layers
from cxr.trainer.phantoms import phantoms
from cxr.trainer.preprocessing import decode_and_crop, decode_and_resize
from cxr.trainer.transform_graph import TransformGraph

CLASSES = ("covid19", "pneumonia", "normal")
SIZE = 32

pytestmark = pytest.mark.slow  # the export that most of them read takes a while


def small_model(name="small") -> keras.Model:
    """A backbone with batch normalisation, and a head."""
    inputs = keras.Input([SIZE, SIZE, 3])
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3, strides=2)(inputs))
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(8, 3, strides=2, activation="relu")(x))
    return with_head(keras.Model(inputs, x, name="backbone"), name)


def with_head(backbone, name) -> keras.Model:
    image = keras.Input([SIZE, SIZE, 3], name="image_tensor")
    x = keras.layers.GlobalAveragePooling2D()(backbone(keras.layers.Rescaling(2, -1)(image)))
    x = keras.layers.Dense(len(CLASSES), activation="softmax")(keras.layers.Dropout(0.1)(x))
    return keras.Model(image, x, name=name)


def mobilenet() -> keras.Model:
    backbone = keras.applications.MobileNet((SIZE, SIZE, 3), alpha=0.25, include_top=False, weights=None)
    backbone.name = "backbone"
    return with_head(backbone, "mobilenet")


def export(model, directory, transform, **more):
    export_model(
        single_network(model),
        name=model.name,
        transform=transform,
        info={"backbone": "a small one", "weights": "none", "weights_note": "random", **more.pop("info", {})},
        directory=str(directory),
        **more,
    )
    return str(directory)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    return small_model()


@pytest.fixture(scope="module")
def exported(model, transform, tmp_path_factory):
    return export(model, tmp_path_factory.mktemp("small") / "Format-Serving", transform, max_side=600)


@pytest.fixture(scope="module")
def loaded(exported):
    return tf.saved_model.load(exported)


def test_all_signatures_agree_with_the_keras_model(model, loaded, transform, raw_examples):
    images = images_of(transform, raw_examples)
    expected = model.predict(images, verbose=0)
    encoded = [tf.train.Example.FromString(e).features.feature[features.IMAGE].bytes_list.value[0] for e in raw_examples]
    answers = {
        "serving_default": loaded.signatures["serving_default"](examples=tf.constant(raw_examples)),
        "image_bytes": loaded.signatures["image_bytes"](image_bytes=tf.constant(encoded)),
        "image_tensor": loaded.signatures["image_tensor"](image_tensor=images),
    }
    for answer in answers.values():
        assert set(answer) == {features.PROBABILITIES, features.PREDICTED_LABEL, features.OUTPUT_CLASS_NAMES}
        np.testing.assert_allclose(answer[features.PROBABILITIES], expected, atol=1e-5)
        assert [label.decode() for label in answer[features.PREDICTED_LABEL].numpy()] == [CLASSES[i] for i in expected.argmax(axis=1)]
        assert answer[features.OUTPUT_CLASS_NAMES].numpy().tolist() == [[c.encode() for c in CLASSES]] * len(raw_examples)


def test_a_served_picture_is_cropped_as_a_trained_one(model, make_transform, chest_examples, tmp_path):
    transform = TransformGraph(make_transform(chest_examples, crop="thorax"), CLASSES)
    served = tf.saved_model.load(export(model, tmp_path / "Format-Serving", transform)).signatures
    encoded = tf.constant([image_of(example) for example in chest_examples])
    trained = np.stack([transform.image(one) for one in encoded])  # as trainers read them
    np.testing.assert_allclose(trained[..., :1], decode_and_crop(encoded, SIZE, crop="thorax")[0], atol=1e-5)
    expected = model.predict(trained, verbose=0)
    whole = model.predict(np.repeat(decode_and_resize(encoded, SIZE), 3, axis=3), verbose=0)
    assert np.abs(expected - whole).max() > 1e-3
    for answer in (served["image_bytes"](image_bytes=encoded), served["serving_default"](examples=tf.constant(chest_examples))):
        np.testing.assert_allclose(answer[features.PROBABILITIES], expected, atol=1e-5)


def test_predicting_needs_the_image_alone(loaded, raw_examples):
    example = tf.train.Example.FromString(raw_examples[0])
    for key in set(example.features.feature) - {features.IMAGE}:
        del example.features.feature[key]
    answer = loaded.signatures["serving_default"](examples=tf.constant([example.SerializeToString()]))
    assert answer[features.PROBABILITIES].shape == (1, 3)


def test_transform_labels_gives_evaluation_its_labels(loaded, raw_examples):
    answer = loaded.signatures["transform_labels"](examples=tf.constant(raw_examples))
    assert answer[features.LABEL_INDEX].numpy().tolist() == [[i % 3] for i in range(len(raw_examples))]
    example = tf.train.Example.FromString(raw_examples[1])
    del example.features.feature[features.IMAGE]  # no picture is decoded for its label
    example.features.feature[features.LABEL].bytes_list.value[:] = [b"flu"]
    answer = loaded.signatures["transform_labels"](examples=tf.constant([example.SerializeToString()]))
    assert answer[features.LABEL_INDEX].numpy().tolist() == [[-1]]


@pytest.mark.parametrize("count", [0, 31, 32, 33, 70])
def test_batches_of_any_size(loaded, raw_examples, count):
    examples = [raw_examples[i % len(raw_examples)] for i in range(count)]
    answer = loaded.signatures["serving_default"](examples=tf.constant(examples, tf.string))
    assert answer[features.PROBABILITIES].shape == (count, 3)
    assert answer[features.OUTPUT_CLASS_NAMES].shape == (count, 3)
    if count > len(raw_examples):
        np.testing.assert_allclose(answer[features.PROBABILITIES][12], answer[features.PROBABILITIES][0], atol=1e-6)


def test_empty_batches_of_images(loaded):
    assert loaded.signatures["image_bytes"](image_bytes=tf.constant([], tf.string))[features.PROBABILITIES].shape == (0, 3)
    assert loaded.signatures["image_tensor"](image_tensor=tf.zeros([0, SIZE, SIZE, 3]))[features.PREDICTED_LABEL].shape == (0,)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_refused(loaded, value):
    """A network answers NaN to it, whose first class would be the label."""
    images = np.full([2, SIZE, SIZE, 3], 0.5, np.float32)
    images[1, 3, 4, 0] = value
    with pytest.raises(tf.errors.InvalidArgumentError, match="image_tensor holds what is no finite number"):
        loaded.signatures["image_tensor"](image_tensor=images)


@pytest.mark.parametrize("shape", [[SIZE, SIZE, 3], [1, SIZE // 2, SIZE // 2, 3]])
def test_a_wrong_shape_is_an_error_in_a_server_that_checks_none(exported, shape):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        signature = tf.compat.v1.saved_model.loader.load(session, ["serve"], exported).signature_def["image_tensor"]
        options = config_pb2.CallableOptions()
        options.feed.append(signature.inputs["image_tensor"].name)
        options.fetch.append(signature.outputs["probabilities"].name)
        call = session._make_callable_from_options(options)
        with pytest.raises(tf.errors.InvalidArgumentError):
            call(np.zeros(shape, np.float32))


def test_the_model_says_how_to_read_images(exported, loaded):
    info = model_info.read_info(exported)
    assert (info.max_side, info.reading_rules) == (600, READING_RULES)
    answer = loaded.signatures["image_reading"](image_reading=tf.constant(["", ""]))
    assert {key: value.numpy().tolist() for key, value in answer.items()} == {  # nobody told what it learnt from
        features.MAX_SIDE: [600, 600],
        features.READING_RULES: [READING_RULES] * 2,
    }


@pytest.mark.parametrize("synthetic", [True, False])
def test_the_model_says_whether_it_learnt_from_synthetic_images(model, transform, synthetic):
    reading = Signatures(single_network(model), transform, synthetic=synthetic).functions["image_reading"]
    answer = reading(tf.constant(["", ""]))[features.LEARNT_FROM_SYNTHETIC]
    assert answer.numpy().tolist() == [synthetic] * 2
    assert not [op for op in reading.get_concrete_function().graph.get_operations() if "Call" in op.type]  # asks no network


def test_what_is_not_an_image_is_an_error(loaded):
    with pytest.raises(tf.errors.InvalidArgumentError):
        loaded.signatures["image_bytes"](image_bytes=tf.constant([b"not an image"]))


def test_the_network_is_stored_once(exported):
    library = loader_impl.parse_saved_model(exported).meta_graphs[0].graph_def.library
    convolutions = [node.name for function in library.function for node in function.node_def if node.op == "Conv2D"]
    assert len(convolutions) == 2


def test_the_vectors_of_the_backbone_are_one_variable(model, exported):
    backbone = model.get_layer("backbone")
    vectors = [variable.shape[0] for variable in backbone.variables if len(variable.shape) == 1]
    folded = sum(2 * layer.moving_mean.shape[0] for layer in batch_norm_layers(backbone))  # of four vectors, two are exported
    shapes = [shape for name, shape in tf.train.list_variables(f"{exported}/variables/variables") if "CHECKPOINTABLE" not in name]
    assert [sum(vectors) - folded] in shapes
    assert len(shapes) == len(model.variables) - len(vectors) + 1


def test_the_obvious_export_fails_the_check_and_ours_passes(transform, tmp_path):
    model = mobilenet()
    ours = export(model, tmp_path / "ours", transform)
    assert check_export(ours) == 7

    # What TFX's own examples do: the Keras model itself, with signatures.
    obvious = str(tmp_path / "obvious")

    def answer(images):
        return {features.PROBABILITIES: model(images, training=False)}

    spec = tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32, name="image_tensor")
    one = tf.function(answer, input_signature=[spec])
    tf.saved_model.save(
        model, obvious, signatures=dict.fromkeys(("serving_default", "image_bytes", "image_tensor", "gradcam", "transform_labels"), one)
    )
    in_python = tf.saved_model.load(obvious).signatures["image_tensor"](image_tensor=tf.fill([1, SIZE, SIZE, 3], 0.5))
    recorded = [log for log in read_recorded(ours) if log.predict_log.request.model_spec.signature_name == "image_tensor"]
    np.testing.assert_allclose(
        in_python["probabilities"], tf.make_ndarray(recorded[0].predict_log.response.outputs["probabilities"]), atol=1e-5
    )
    write_logs(obvious, RECORDED_REQUESTS, recorded)
    with pytest.raises(CxrError, match="fails in a TF1 session"):
        check_export(obvious)


def test_a_model_that_answers_otherwise_than_recorded_is_refused(exported, tmp_path):
    copy = shutil.copytree(exported, tmp_path / "copy")
    logs = list(read_recorded(str(copy)))
    logs[0].predict_log.response.outputs["probabilities"].CopyFrom(tf.make_tensor_proto([[0.9, 0.05, 0.05]], tf.float32))
    write_logs(str(copy), RECORDED_REQUESTS, logs)
    with pytest.raises(CxrError, match="recorded request 1 .image_bytes.: probabilities differs"):
        check_export(str(copy))


def test_an_export_of_a_faulty_copy_is_refused(model, transform, raw_examples, tmp_path):
    """The recorded answers are the copy's own: only those of the trained network tell."""
    encoded = [tf.train.Example.FromString(e).features.feature[features.IMAGE].bytes_list.value[0] for e in raw_examples]
    answers = model.predict(images_of(transform, raw_examples), verbose=0)
    export(model, tmp_path / "right", transform, trained=TrainedAnswers(encoded, answers))
    copy = small_model()
    copy.set_weights([3 * value for value in model.get_weights()])
    with pytest.raises(CxrError, match="not the one that was trained: its probabilities for 12 images"):
        export(copy, tmp_path / "wrong", transform, trained=TrainedAnswers(encoded, answers))


def test_what_lies_beside_the_model(exported):
    extra = Path(exported) / "assets.extra"
    info = json.loads((extra / "model.json").read_text())
    assert info["class_names"] == list(CLASSES)
    assert info["weights_note"] == "random"
    assert model_info.read_info(exported).name == "small"
    logs = list(read_recorded(exported))
    signatures = [log.predict_log.request.model_spec.signature_name for log in logs]
    assert signatures.count("image_bytes") == signatures.count("serving_default") == 3
    assert all(log.predict_log.request.model_spec.name == "small" for log in logs)
    assert len(list(tf.data.TFRecordDataset(str(extra / "tf_serving_warmup_requests")))) == 3
    assert sum(f.stat().st_size for f in extra.iterdir()) < 500_000


def test_only_drawn_pictures_travel_with_the_model(exported):
    drawn = {*phantoms(), *map(example_of, phantoms())}
    for file in (RECORDED_REQUESTS, WARM_UP):
        for record in tf.data.TFRecordDataset(f"{exported}/{file}").as_numpy_iterator():
            request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
            if request.model_spec.signature_name != features.SIGNATURE_TENSOR:  # that one has no picture
                pictures = [tensor for key, tensor in request.inputs.items() if key != features.CLASS_INDEX]
                assert {value for tensor in pictures for value in tf.make_ndarray(tensor)} <= drawn


def test_files_as_they_are_get_the_answer_that_they_get_after_ingest(loaded):
    """12 bits in a 16-bit PNG, transparency and a turned photograph; test_decoding.py has all kinds of file."""
    pixels = np.random.default_rng(3).normal(size=(6, 8)) * 500 + 2000
    deep = np.asarray(Image.fromarray(pixels.astype(np.float32)).resize((160, 120), Image.Resampling.BICUBIC)).astype(np.uint16)
    grey = Image.fromarray((deep // 16).astype(np.uint8))
    turned = Image.Exif()
    turned[0x0112] = 6
    raw = [
        saved(Image.fromarray(deep), "PNG"),
        saved(Image.merge("RGBA", [grey, grey.rotate(180), grey, grey.rotate(180)]), "PNG"),
        saved(grey, "JPEG", quality=95, exif=turned),
    ]
    ingested = [encode(read_image(data)) for data in raw]
    answers, expected = (
        loaded.signatures["image_bytes"](image_bytes=tf.constant(files))[features.PROBABILITIES].numpy() for files in (raw, ingested)
    )
    np.testing.assert_allclose(answers, expected, atol=1e-3)
    assert np.ptp(expected, axis=0).max() > 0.01  # the model tells them apart


def saved(picture, kind, **options):
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()
