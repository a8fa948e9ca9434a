"""The signature `gradcam` through the server: two inputs, one of them with a default, over gRPC and REST."""

import base64
import json
import urllib.request

import numpy as np
import pytest

from cxr.core import features


@pytest.fixture(scope="module")
def server(small_models):
    from cxr.serving.server import Server

    with Server.start(small_models, port=0, rest_port=0) as server:
        yield server


@pytest.fixture
def caller(server, connect):
    return connect(server.address)


def request(caller, images, classes=None):
    inputs = {features.SIGNATURE_BYTES: np.array(images, object)}
    if classes is not None:
        inputs[features.CLASS_INDEX] = classes
    return caller.request("ensemble", signature=features.SIGNATURE_GRADCAM, **inputs)


def test_prediction_and_map_in_one_call(caller, png):
    outputs = caller.prediction.Predict(request(caller, [png(20), png(240)], np.array([features.PREDICTED_CLASS, 0])), timeout=60).outputs
    assert list(outputs[features.PREDICTED_LABEL].string_val) == [b"pneumonia", b"normal"]
    assert list(outputs[features.EXPLAINED_CLASS].int64_val) == [1, 0]
    assert [dim.size for dim in outputs[features.HEAT_MAP].tensor_shape.dim] == [2, 2, 2]
    assert list(outputs[features.HEAT_MAP].float_val) == [1, 0, 0, 0] * 2
    assert list(outputs[features.HEAT_MAP_EMPTY].bool_val) == [False, False]


def test_the_class_may_be_left_out_for_one_image_alone(caller, png):
    outputs = caller.prediction.Predict(request(caller, [png(240)]), timeout=60).outputs
    assert (list(outputs[features.EXPLAINED_CLASS].int64_val), list(outputs[features.HEAT_MAP_EMPTY].bool_val)) == ([2], [True])
    code, text = caller.refusal(lambda: caller.prediction.Predict(request(caller, [png(20), png(240)]), timeout=60))
    assert code == "INVALID_ARGUMENT"
    assert "equal 0th-dimension size" in text


def test_a_class_of_another_type_is_refused_as_tensorflow_serving_does(caller, png):
    ask = request(caller, [png(20)], np.array([0], np.int32))
    refused = caller.refusal(lambda: caller.prediction.Predict(ask, timeout=60))
    assert refused == ("INVALID_ARGUMENT", "Expects arg[0] to be int64 but int32 is provided")


def test_rest(server, png):
    def ask(body):
        url = f"http://{server.rest_address}/v1/models/ensemble:predict"
        with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode()), timeout=60) as answer:
            return json.loads(answer.read())

    dark, bright = ({"b64": base64.b64encode(png(level)).decode()} for level in (20, 240))
    rows = [{features.SIGNATURE_BYTES: dark, features.CLASS_INDEX: -1}, {features.SIGNATURE_BYTES: bright, features.CLASS_INDEX: -1}]
    first, second = ask({"signature_name": features.SIGNATURE_GRADCAM, "instances": rows})["predictions"]
    assert (first["label"], first[features.HEAT_MAP], first[features.HEAT_MAP_EMPTY]) == ("pneumonia", [[1, 0], [0, 0]], False)
    assert (second["label"], second[features.EXPLAINED_CLASS], second[features.HEAT_MAP_EMPTY]) == ("normal", 2, True)
    columns = {features.SIGNATURE_BYTES: [bright], features.CLASS_INDEX: [0]}
    outputs = ask({"signature_name": features.SIGNATURE_GRADCAM, "inputs": columns})["outputs"]
    assert outputs[features.EXPLAINED_CLASS] == [0]
    assert outputs["probabilities_mobilenet"] == outputs[features.PROBABILITIES]
    alone = {features.SIGNATURE_BYTES: [bright]}
    assert ask({"signature_name": features.SIGNATURE_GRADCAM, "inputs": alone})["outputs"][features.EXPLAINED_CLASS] == [2]
