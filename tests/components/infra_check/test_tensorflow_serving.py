"""How the binary is started and watched, shown with a program of its name that takes its arguments and runs our embedded server."""

import os
import stat
import sys

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from cxr.components.infra_check import tensorflow_serving
from cxr.core.errors import CxrError

PROGRAM = """#!{python}
import json, os, sys, tempfile
given = dict(argument.removeprefix("--").split("=", 1) for argument in sys.argv[1:])
options = {{"port": int(given["port"]), "rest_port": None, "model_config_file": given["model_config_file"], "load_retries": 0}}
with tempfile.TemporaryFile("w+") as file:
    file.write(json.dumps(options)); file.seek(0); os.dup2(file.fileno(), 0); os.lseek(0, 0, 0)
os.execv(sys.executable, [sys.executable, "-m", "cxr.serving.server"])
"""


@pytest.fixture
def binary(tmp_path, monkeypatch):
    program = tmp_path / "bin/tensorflow_model_server"
    program.parent.mkdir()
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return program


class Halve(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def predict(self, x):
        return {"y": x / 2}


@pytest.fixture
def saved_model(tmp_path):
    module = Halve()
    tf.saved_model.save(module, str(tmp_path / "model"), signatures={"serving_default": module.predict})
    return str(tmp_path / "model")


def test_it_is_looked_for_on_path(binary, monkeypatch):
    assert tensorflow_serving.available()
    monkeypatch.setenv("PATH", "/nowhere")
    assert not tensorflow_serving.available()


@pytest.mark.slow
def test_it_answers_when_the_block_begins(binary, saved_model):
    with tensorflow_serving.start_tensorflow_serving({"halve": saved_model}, 120) as address, grpc.insecure_channel(address) as channel:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "halve"
        request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0, 3.0]))
        answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=60)
    assert tf.make_ndarray(answer.outputs["y"]).tolist() == [0.5, 1.5]


@pytest.mark.slow
def test_a_model_that_does_not_load_is_an_error(binary, saved_model):
    with open(f"{saved_model}/saved_model.pb", "wb") as file:
        file.write(b"no graph")
    with pytest.raises(CxrError, match="tensorflow_model_server"), tensorflow_serving.start_tensorflow_serving({"halve": saved_model}, 120):
        pass


def test_a_server_that_ends_is_an_error_with_its_log(binary, saved_model):
    binary.write_text("#!/bin/sh\necho no such flag; exit 3\n")
    with (
        pytest.raises(CxrError, match="(?s)ended with code 3.*no such flag"),
        tensorflow_serving.start_tensorflow_serving({"halve": saved_model}, 60),
    ):
        pass
