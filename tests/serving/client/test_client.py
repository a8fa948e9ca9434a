"""The client against the embedded server, over a real socket."""

import io
from pathlib import Path

import grpc
import numpy as np
import pytest
from PIL import Image

from cxr.core import features
from cxr.core.errors import CxrError, UsageError
from cxr.data.images.reader import encode
from cxr.serving.client import client as client_module
from cxr.serving.client.client import Client
from cxr.serving.client.errors import BadAnswer, BadImage, ModelNotFound, Overloaded, SignatureMismatch, TooLarge
from cxr.serving.client.predictions import Failure, Prediction
from cxr.serving.client.tensors import from_floats
from cxr.serving.client.wire import messages

pytestmark = pytest.mark.seconds


def test_predictions_come_in_order_with_members_and_version(small_server, png):
    levels = list(range(5, 250, 10))
    with Client(small_server, batch_size=4, max_in_flight=3) as client:
        answers = list(client.predict_bytes((f"{level}.png", png(level)) for level in levels))
    assert [answer.path for answer in answers] == [f"{level}.png" for level in levels]
    for level, answer in zip(levels, answers, strict=True):
        assert isinstance(answer, Prediction)
        assert (answer.model, answer.version) == ("ensemble", 2)
        assert list(answer.probabilities) == list(features.CLASS_NAMES)
        assert answer.probabilities["normal"] == pytest.approx(level / 255, abs=1e-6)  # version 2 prefers pneumonia, then normal
        assert answer.label == ("pneumonia" if level < 128 else "normal")
        assert set(answer.members) == {"densenet201", "mobilenet"}
        assert answer.members["mobilenet"] == answer.probabilities
        assert answer.unlike_training == pytest.approx(level / 255, abs=1e-6)
        assert answer.outside == (level > 127)
        assert answer.conformal_set == tuple(name for name, share in answer.probabilities.items() if share >= 0.25)
        assert 1 <= len(answer.conformal_set) <= 2


def test_models_without_these_outputs_say_nothing_about_them(small_server, png):
    with Client(small_server, "mobilenet") as client:
        (answer,) = client.predict_bytes([("a.png", png(200))])
    assert isinstance(answer, Prediction)
    assert (answer.unlike_training, answer.outside, answer.conformal_set) == (None, None, None)
    assert answer.to_json()["unlike_training"] is None


def test_one_bad_image_loses_no_other(small_server, png):
    images = [(f"{i}", b"a text file" if i in (3, 11) else png(i + 1)) for i in range(16)]
    images[7] = ("7", png(7)[:60])  # truncated
    with Client(small_server, batch_size=8) as client:
        answers = list(client.predict_bytes(images))
    failed = {answer.path: answer for answer in answers if isinstance(answer, Failure)}
    assert set(failed) == {"3", "7", "11"}
    assert all(isinstance(failure.error, BadImage) for failure in failed.values())
    assert "Unknown image file format" in str(failed["3"].error)
    assert "\n" not in str(failed["3"].error)


def test_a_batch_above_the_servers_limit_is_sent_in_parts(small_server, png):
    with Client(small_server, batch_size=20) as client:  # the server takes 8
        assert all(isinstance(answer, Prediction) for answer in client.predict_bytes((str(i), png(i + 1)) for i in range(20)))


def test_unreadable_files_are_failures_of_their_own(small_server, png, tmp_path: Path):
    (tmp_path / "good.png").write_bytes(png(9, 16))
    paths = [tmp_path / "missing.png", tmp_path / "good.png"]
    with Client(small_server, "mobilenet") as client:
        missing, good = client.predict_files(paths)
    assert isinstance(missing, Failure)
    assert "missing.png" in str(missing.error)
    assert isinstance(good, Prediction)
    assert good.members == {}


def test_a_notebooks_slips_are_told(small_server, png, tmp_path: Path):
    (tmp_path / "x.png").write_bytes(png(9, 16))
    with Client(small_server, "mobilenet") as client:
        (answer,) = client.predict_files([str(tmp_path / "x.png")])
        assert isinstance(answer, Prediction)
        for one in (tmp_path / "x.png", str(tmp_path / "x.png")):
            with pytest.raises(UsageError, match=r"x\.png: one path, where several are wanted"):
                next(client.predict_files(one))  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="explain=True"):
            next(client.predict_files([], class_name="normal"))


def test_files_are_scaled_down_as_the_models_training_images_were(small_server, png, tmp_path: Path, monkeypatch):
    (tmp_path / "x.png").write_bytes(png(9, 64))
    sent = []

    def watched(image):
        sent.append(encode(image))
        return sent[-1]

    monkeypatch.setattr(client_module, "encode", watched)
    for model, side in (("mobilenet", 20), ("ensemble", 64)):  # one says 20, the other nothing
        with Client(small_server, model) as client:
            assert isinstance(next(client.predict_files([tmp_path / "x.png"])), Prediction)
        with Image.open(io.BytesIO(sent[-1])) as picture:
            assert picture.size == (side, side)


def test_images_that_would_be_read_otherwise_than_before_training_are_not_sent(small_server, png, tmp_path: Path):
    (tmp_path / "x.png").write_bytes(png(9, 64))
    with Client(small_server, "future") as client, pytest.raises(CxrError, match=r"future.*by rules 99.*by rules 1,.*use the release"):
        next(client.predict_files([tmp_path / "x.png"]))


def test_predictions_say_what_their_model_learnt_from_and_what_its_sets_hold(small_server, png, tmp_path: Path):
    (tmp_path / "x.png").write_bytes(png(9, 64))
    found = {}
    for model in ("mobilenet", "real", "older", "ensemble"):
        with Client(small_server, model) as client:
            (answer,) = client.predict_files([tmp_path / "x.png"])
            assert isinstance(answer, Prediction)
            told = answer.to_json()
            found[model] = (told["synthetic"], told["conformal_coverage"])
    assert found == {"mobilenet": (True, None), "real": (False, None), "older": (None, None), "ensemble": (None, 0.8)}


@pytest.mark.parametrize(
    ("asked", "named"),
    [({"model": "nope"}, "nope"), ({"version": 9}, "version 9"), ({"label": "stable"}, "label stable")],
)
def test_what_is_not_served_is_named(small_server, png, asked, named):
    with Client(small_server, **asked) as client:
        with pytest.raises(ModelNotFound, match=named):
            list(client.predict_bytes([("x", png(1))]))
        with pytest.raises(ModelNotFound):
            client.metadata()


def test_version_and_label_exclude_each_other():
    with pytest.raises(CxrError, match="not both"):
        Client(version=1, label="stable")


def test_metadata_and_status(small_server):
    with Client(small_server) as client:
        metadata = client.metadata()
        signature = metadata.signatures[features.SIGNATURE_BYTES]
        assert (metadata.model, metadata.version) == ("ensemble", 2)
        assert signature.inputs[features.SIGNATURE_BYTES].dtype == "string"
        assert signature.outputs[features.PROBABILITIES].shape == (None, 3)
        assert [(status.version, status.state) for status in client.status()] == [(2, "AVAILABLE")]
        assert client.connection.server == small_server


def _limit(most: int, code, details: str, seen: list):
    """A server that refuses requests of more than `most` images."""

    def predict(request, context):
        seen.append(count := len(request.inputs[features.SIGNATURE_BYTES].string_val))
        if count > most:
            context.abort(code, details)
        response = messages.PredictResponse()
        for name, row in ((features.PREDICTED_LABEL, [b"normal"]), (features.OUTPUT_CLASS_NAMES, [b"normal", b"pneumonia"])):
            shape = [count, len(row)] if len(row) > 1 else [count]
            sizes = [messages.TensorShapeProto.Dim(size=size) for size in shape]
            tensor = messages.TensorProto(dtype=messages.DT_STRING, tensor_shape=messages.TensorShapeProto(dim=sizes))
            tensor.string_val.extend(row * count)
            response.outputs[name].CopyFrom(tensor)
        response.outputs[features.PROBABILITIES].CopyFrom(from_floats(np.full((count, 2), 0.5, np.float32)))
        return response

    return predict


def test_too_many_bytes_are_sent_in_halves(faulty, png):
    seen: list[int] = []
    too_large = _limit(2, grpc.StatusCode.RESOURCE_EXHAUSTED, "SERVER: Received message larger than max (9 vs. 4)", seen)
    with Client(faulty(too_large), batch_size=8) as client:
        answers = list(client.predict_bytes([(str(i), png(i + 1)) for i in range(8)]))
    assert all(isinstance(answer, Prediction) for answer in answers)
    assert seen == [8, 4, 2, 2, 4, 2, 2]


def test_one_image_above_the_servers_limit_is_told_its_size(faulty, png):
    too_large = _limit(0, grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max (9 vs. 4)", [])
    with Client(faulty(too_large)) as client:
        (answer,) = client.predict_bytes([("big.png", png(1))])
    assert isinstance(answer, Failure)
    assert isinstance(answer.error, TooLarge)
    assert "big.png: larger than the server takes" in str(answer.error)


def test_a_refusal_names_the_image_and_nothing_of_the_graph(faulty, png):
    """As TensorFlow says it of an image that a step of the graph refuses."""
    functions = "{{function_node __inference_signature_wrapper_image_bytes_4711}} {{function_node map_while_body_214}} "
    details = f"{functions}assertion failed: [animated PNG: send one picture]\n\t [[{functions}{{{{node map/while/Assert}}}}]]"
    with Client(faulty(_limit(0, grpc.StatusCode.INVALID_ARGUMENT, details, []))) as client:
        (answer,) = client.predict_bytes([("moving.png", png(1))])
    assert isinstance(answer, Failure)
    assert isinstance(answer.error, BadImage)
    assert str(answer.error) == "moving.png: the server refused this image: assertion failed: [animated PNG: send one picture]"
    assert answer.error.details == details


@pytest.mark.parametrize(
    ("code", "details"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "More than 1 request at once; try again later"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "Concurrent RPC limit exceeded!"),
        (grpc.StatusCode.UNAVAILABLE, "The batch scheduling queue to which this task was submitted is full"),
    ],
)
def test_an_overloaded_server_makes_no_image_bad(faulty, png, code, details):
    seen: list[int] = []
    with Client(faulty(_limit(0, code, details, seen)), timeout=0.5) as client, pytest.raises(Overloaded):
        list(client.predict_bytes([(str(i), png(i + 1)) for i in range(16)]))
    assert set(seen) == {16}  # the same request, never a half of it


def test_a_model_that_is_not_ours(faulty, png):
    def half_plus_two(request, context):
        response = messages.PredictResponse()
        response.outputs["y"].CopyFrom(messages.TensorProto(dtype=messages.DT_FLOAT, float_val=[2.5]))
        return response

    with Client(faulty(half_plus_two)) as client, pytest.raises(BadAnswer, match="probabilities"):
        list(client.predict_bytes([("x", png(1))]))


def test_a_request_that_fits_no_signature_is_not_split(faulty, png):
    seen = []

    def refuse(request, context):
        seen.append(request)
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, 'Serving signature key "image_bytes" not found.')

    with Client(faulty(refuse)) as client, pytest.raises(SignatureMismatch):
        list(client.predict_bytes([("x", png(1)), ("y", png(2))]))
    assert len(seen) == 1
