"""A small SavedModel, served from a fresh process, against requests recorded with it."""

import contextlib
import shutil

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from cxr.components.infra_check.replay import MachineBusy, check_model, replay
from cxr.core.errors import CxrError
from cxr.serving.server.process import NotStarted, not_up
from cxr.trainer.export.recorded_requests import read_recorded

pytestmark = pytest.mark.seconds


class Halve(tf.Module):
    def __init__(self):
        self.half = tf.Variable(0.5)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def predict(self, x):
        return {"y": x * self.half, "label": tf.where(x > 1, "big", "small")}


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    module = Halve()
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.predict})
    return folder


def record(saved_model, tmp_path, answers):
    """Copies the model and records, for x = 1 and 2, the given answers."""
    folder = tmp_path / "model"
    shutil.copytree(saved_model, folder)
    (folder / "assets.extra").mkdir()
    with tf.io.TFRecordWriter(str(folder / "assets.extra" / "recorded_requests.tfrecord")) as writer:
        for answer in answers:
            log = prediction_log_pb2.PredictionLog()
            log.predict_log.request.model_spec.signature_name = "serving_default"
            log.predict_log.request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0, 2.0]))
            for name, value in answer.items():
                log.predict_log.response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
            writer.write(log.SerializeToString())
    return str(folder)


RIGHT = {"y": [0.5, 1.0], "label": ["small", "big"]}


def check(folder):
    return check_model(folder, "halve", load_seconds=400, tolerance=1e-3)


@pytest.mark.slow
def test_right_answers_are_blessed(saved_model, tmp_path):
    verdict = check(record(saved_model, tmp_path, [RIGHT, RIGHT]))
    assert (verdict.blessed, verdict.answered, verdict.problems) == (True, 2, ())


@pytest.mark.slow
def test_every_kind_of_difference_is_named(saved_model, tmp_path):
    wrong = [
        {**RIGHT, "y": [0.5, 1.1]},
        {**RIGHT, "y": [0.5, float("nan")]},
        {**RIGHT, "label": ["small", "small"]},
        {"y": RIGHT["y"]},
        {**RIGHT, "y": [[0.5, 1.0]]},
    ]
    verdict = check(record(saved_model, tmp_path, [RIGHT, *wrong]))
    assert (verdict.blessed, verdict.answered, len(verdict.problems)) == (False, 1, len(wrong))
    for number, (problem, expected) in enumerate(
        zip(
            verdict.problems,
            ("y differs by 0.1", "y differs by nan", "label is", "outputs label, y instead of y", "y is float32[2]"),
            strict=True,
        ),
        2,
    ):
        assert problem.startswith(f"request {number} (serving_default): {expected}")
    assert ["bn_recalibration=none" in problem for problem in verdict.problems] == [True, False, False, False, False]  # said once


@pytest.mark.slow
def test_a_model_that_does_not_load_is_not_blessed(saved_model, tmp_path):
    folder = record(saved_model, tmp_path, [RIGHT])
    with open(f"{folder}/saved_model.pb", "r+b") as file:
        file.truncate(100)
    verdict = check(folder)
    assert not verdict.blessed
    assert "could not load the model" in verdict.problems[0]


def test_what_the_machine_is_to_blame_for_is_no_verdict(saved_model, tmp_path):
    folder = record(saved_model, tmp_path, [RIGHT])
    with pytest.raises(CxrError, match="too busy.*infra_check.load_seconds.*was not ready after 0.01 s"):
        check_model(folder, "halve", load_seconds=0.01, tolerance=1e-3)
    with grpc.insecure_channel("127.0.0.1:9") as nobody, pytest.raises(CxrError, match="UNAVAILABLE.*run the check again"):
        replay(nobody, read_recorded(folder), "halve", tolerance=1e-3, answer_seconds=5)


@pytest.mark.parametrize("variable", ["http_proxy", "https_proxy"])
def test_a_proxy_of_the_house_is_gone_past(saved_model, tmp_path, monkeypatch, variable):
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    assert check(record(saved_model, tmp_path, [RIGHT])).blessed


def test_a_server_that_is_gone_is_no_verdict_either(saved_model, tmp_path, monkeypatch):
    monkeypatch.setattr("cxr.components.infra_check.replay._served", lambda *_: contextlib.nullcontext("127.0.0.1:9"))
    with pytest.raises(MachineBusy, match="UNAVAILABLE.*run the check again"):
        check_model(record(saved_model, tmp_path, [RIGHT]), "halve", load_seconds=1, tolerance=1e-3, answer_seconds=5)


def test_a_server_that_the_system_ends_is_none(tmp_path):
    (tmp_path / "log").write_text("last words")
    assert isinstance(not_up("it", -9, 1, tmp_path / "log"), NotStarted)
    assert isinstance(not_up("it", None, 1, tmp_path / "log"), NotStarted)
    ended = not_up("it", 1, 1, tmp_path / "log")
    assert not isinstance(ended, NotStarted)
    assert str(ended) == "it ended with code 1; its log ends with:\nlast words"


def test_a_model_without_recorded_requests_is_not_blessed(saved_model):
    verdict = check(str(saved_model))
    assert not verdict.blessed
    assert "no recorded requests" in verdict.problems[0]
