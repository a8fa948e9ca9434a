"""REST over a real socket: status, metadata, the row and column forms, errors, metrics."""

import base64
import io
import json
import urllib.error
import urllib.request
from typing import Any

import grpc
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def server(golden_models, slow_model, tmp_path_factory):
    from cxr.serving.server import Server

    path = tmp_path_factory.mktemp("rest") / "models.config"
    path.write_text(f"""model_config_list {{
      config {{ name: "half_plus" base_path: "{golden_models}/half_plus" model_platform: "tensorflow"
               model_version_policy {{ all {{}} }} version_labels {{ key: "stable" value: 123 }} }}
      config {{ name: "image" base_path: "{golden_models}/image" model_platform: "tensorflow" }}
      config {{ name: "slow" base_path: "{slow_model}/slow" model_platform: "tensorflow" }} }}""")
    labels: dict[str, Any] = {"allow_version_labels_for_unavailable_models": True}
    with Server.start(model_config_file=path, port=0, rest_port=0, limits={"max_message_bytes": 1_000_000}, **labels) as server:
        yield server


@pytest.fixture
def ask(server):
    """GET, or POST with a body; returns (HTTP status, JSON)."""

    def run(path, body=None):
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{server.rest_address}{path}", data)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    return run


def test_status(ask):
    status, answer = ask("/v1/models/half_plus")
    assert status == 200
    available = {"state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert answer == {"model_version_status": [{"version": "124", **available}, {"version": "123", **available}]}
    assert ask("/v1/models/half_plus/versions/123")[1] == {"model_version_status": [{"version": "123", **available}]}
    assert ask("/v1/models/nope") == (404, {"error": "Could not find any versions of model nope"})


def test_metadata(ask):
    status, answer = ask("/v1/models/half_plus/versions/123/metadata")
    assert status == 200
    assert answer["model_spec"]["version"] == "123"
    signature = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["x"]["dtype"] == "DT_FLOAT"


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("half_plus", {"instances": [1.0, 2, 5]}, {"predictions": [3.5, 4.0, 5.5]}),
        ("half_plus/versions/123", {"instances": [1.0, 2, 5]}, {"predictions": [2.5, 3.0, 4.5]}),
        ("half_plus/labels/stable", {"instances": [{"x": 1.0}, {"x": 2}]}, {"predictions": [2.5, 3.0]}),
        ("half_plus", {"inputs": {"x": [0.2]}, "signature_name": "serving_default"}, {"outputs": [3.1]}),
        ("half_plus", {"inputs": [[1.0], [2.0]]}, {"outputs": [[3.5], [4.0]]}),
        ("half_plus", {"inputs": [2**24 - 2, 2.0**25, float("inf")]}, {"outputs": [2.0**23 + 2, 2.0**24 + 4, float("inf")]}),
        # json_tensor_test.cc: FloatTensorWithPrecisionLoss, FloatTensorThatExceedsMaxReturnsInf
        ("half_plus", {"inputs": [2**25 + 1, -1e39, 1e39]}, {"outputs": [2.0**24 + 4, float("-inf"), float("inf")]}),
    ],
)
def test_rows_and_columns(ask, path, body, expected):
    assert ask(f"/v1/models/{path}:predict", body) == (200, expected)


def test_images_as_base64(ask):
    file = io.BytesIO()
    Image.new("RGB", (3, 2), (10, 20, 30)).save(file, "png")
    image = {"b64": base64.b64encode(file.getvalue()).decode()}
    row = {"mean": [10.0, 20.0, 30.0], "size": [2, 3]}
    for instances in ([image, image], [{"image_bytes": image}, {"image_bytes": image}]):
        answer = ask("/v1/models/image:predict", {"signature_name": "image_bytes", "instances": instances})
        assert answer == (200, {"predictions": [row, row]})
    answer = ask("/v1/models/image:predict", {"signature_name": "image_bytes", "inputs": [image]})
    assert answer == (200, {"outputs": {"mean": [[10.0, 20.0, 30.0]], "size": [[2, 3]]}})


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("/v1/models/nope:predict", {"instances": [1.0]}, 404, "Servable not found for request: Latest(nope)"),
        ("/v1/models/half_plus/versions/9:predict", {"instances": [1.0]}, 404, "Servable not found for request: Specific(half_plus, 9)"),
        ("/v1/models/half_plus/labels/blue:predict", {"instances": [1.0]}, 400, "Unrecognized servable version label: blue"),
        ("/v1/models/half_plus:predict", {"signature_name": "x", "instances": [1]}, 400, 'Serving signature name: "x" not found'),
        ("/v1/models/half_plus:predict", b"", 400, "JSON Parse error: The document is empty"),
        ("/v1/models/half_plus:predict", b"{", 400, "JSON Parse error"),
        ("/v1/models/half_plus:predict", b"[" * 10_000, 400, "JSON Parse error"),
        ("/v1/models/half_plus:predict", {}, 400, "exactly one"),
        ("/v1/models/half_plus:predict", {"instances": []}, 400, "non-empty"),
        ("/v1/models/half_plus:predict", {"instances": ["a"]}, 400, "not of expected type: float"),
        ("/v1/models/half_plus:predict", {"instances": [[1.0], [1.0, 2.0]]}, 400, "different lengths"),
        ("/v1/models/half_plus:predict", {"inputs": {"y": [1.0]}}, 400, "does not have named input: y"),
        ("/v1/models/image:predict", {"signature_name": "image_bytes", "instances": [{"b64": "?"}]}, 400, "Unable to base64 decode"),
        ("/v1/models/image:predict", {"signature_name": "image_bytes", "instances": ["text"]}, 400, "Unknown image file format"),
        ("/v1/models/half_plus:predict", {"inputs": [[1.0], 2.0]}, 400, "different depths"),
        ("/v1/models/half_plus:predict", {"instances": [10**400]}, 400, "does not fit into float"),
        ("/v1/models/half_plus:predict", {"instances": [True]}, 400, "not of expected type: float"),
        ("/v1/models/half_plus:predict", b'{"inputs": ' + b"[" * 100 + b"1.0" + b"]" * 100 + b"}", 400, "dimension"),
        # as an array of strings as wide as the widest this would be 5 GB
        ("/v1/models/half_plus:predict", {"instances": ["x" * 100_000, *["y"] * 12_500]}, 400, "not of expected type: float"),
        ("/v1/models/image:predict", b'{"signature_name": "image_bytes", "instances": ["\\ud800"]}', 400, "surrogate"),
        ("/v1/models/half_plus:predict", b'{"signature_name": "\\ud800", "instances": [1.0]}', 400, "surrogate"),
        ("/v1/models/half_plus:predict", b'{"instances": ["\xff"]}', 400, "JSON Parse error"),
        ("/v1/models/slow:classify", {"signature_name": "lengths", "examples": [{"v": 10**400}]}, 400, "does not fit into float"),
        ("/v1/models/half_plus:explain", {}, 400, "Malformed request: POST"),
        ("/v1/elsewhere", None, 400, "Malformed request: GET"),
        ("/v1/models", None, 400, "Missing model name in request."),
        ("/v1/models/half_plus/versions/99999999999999999999", None, 400, "Failed to convert version"),
        (f"/v1/models/half_plus/versions/{'9' * 5000}", None, 400, "Failed to convert version"),
        (f"/v1/models/half_plus/versions/{'0' * 5000}7", None, 404, "Could not find version 7"),
        ("/v1/models/no%2Fpe", None, 404, "Could not find any versions of model no/pe"),
        ("/favicon.ico", None, 404, "Malformed request: GET"),
    ],
)
def test_errors(ask, path, body, status, text):
    code, answer = ask(path, body)
    assert (code, list(answer)) == (status, ["error"])
    assert text in answer["error"]


@pytest.mark.parametrize("text", ["", "YWI=", "YWI", "YWI.", " Y W\r\nI\t=\v\f", "YQ", "YQ==", "Y Q = =", "+/9=", "YWJj"])
def test_base64_that_tensorflow_serving_takes(text):
    """absl::Base64Unescape, which TensorFlow Serving calls: white space anywhere, padding or none, a dot for it."""
    from cxr.serving.server.rest_examples import base64_bytes

    digits = "".join(text.replace("=", "").replace(".", "").split())
    assert base64_bytes(text) == base64.b64decode(digits + "=" * (-len(digits) % 4))


@pytest.mark.parametrize("text", ["Y", "YQ=", "Y===", "YWI==", "YWJj=", "====", "YQ==YQ==", "-_8=", "YW*I", "Y\u00a0Q", "YQ\0"])
def test_base64_that_tensorflow_serving_refuses(text):
    from cxr.serving.server.errors import ServingError
    from cxr.serving.server.rest_examples import base64_bytes

    with pytest.raises(ServingError, match="Unable to base64 decode"):
        base64_bytes(text)


def test_images_and_examples_share_the_decoder_of_base64(ask):
    import tensorflow as tf

    file = io.BytesIO()
    Image.new("RGB", (3, 2), (10, 20, 30)).save(file, "png")
    lines = {"b64": base64.encodebytes(file.getvalue()).decode().rstrip("=\n")}  # as `base64` folds it
    row = {"mean": [10.0, 20.0, 30.0], "size": [2, 3]}
    assert ask("/v1/models/image:predict", {"signature_name": "image_bytes", "instances": [lines]}) == (200, {"predictions": [row]})
    from cxr.serving.server.rest_examples import example_of

    made = example_of({"image": lines})
    assert isinstance(made, tf.train.Example)
    assert made.features.feature["image"].bytes_list.value[0] == file.getvalue()


def test_classify_and_regress(ask):
    body = {"signature_name": "lengths", "examples": [{"v": 2.0}, {"v": 0.5}]}
    rows = [[["plus", 2.0], ["minus", -2.0]], [["plus", 0.5], ["minus", -0.5]]]
    assert ask("/v1/models/slow:classify", body) == (200, {"results": rows})
    assert ask("/v1/models/slow:regress", {**body, "examples": [{}, {}], "context": {"v": 1.5}}) == (200, {"results": [1.5, 1.5]})
    code, answer = ask("/v1/models/half_plus:classify", {"examples": [{"v": 1.0}]})
    assert code == 400
    assert answer["error"].startswith("No classification inputs found in SignatureDef: ")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS"])
def test_other_methods(server, method):
    request = urllib.request.Request(f"http://{server.rest_address}/v1/models/half_plus", method=method)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=60)
    assert caught.value.code == 400
    assert json.loads(caught.value.read()) == {"error": f"Malformed request: {method} /v1/models/half_plus"}


def test_status_codes_are_tensorflow_servings():
    """http_server.cc, ToHTTPStatusCode; 500 for the others."""
    from cxr.serving.server.errors import ServingError
    from cxr.serving.server.rest_app import http_status

    expected = {
        "CANCELLED": 499,
        "INVALID_ARGUMENT": 400,
        "DEADLINE_EXCEEDED": 504,
        "NOT_FOUND": 404,
        "ALREADY_EXISTS": 409,
        "PERMISSION_DENIED": 403,
        "RESOURCE_EXHAUSTED": 429,
        "FAILED_PRECONDITION": 400,
        "ABORTED": 409,
        "OUT_OF_RANGE": 400,
        "UNIMPLEMENTED": 501,
        "UNAVAILABLE": 503,
        "UNAUTHENTICATED": 401,
    }
    assert {code.name: http_status(ServingError(code, "")) for code in grpc.StatusCode if code.name != "OK"} == {
        **dict.fromkeys(("UNKNOWN", "INTERNAL", "DATA_LOSS"), 500),
        **expected,
    }


def test_metrics_have_tensorflow_servings_names(server, ask, connect):
    caller = connect(server.address)
    caller.half()
    assert ask("/v1/models/half_plus:predict", {"instances": [1.0]})[0] == 200
    assert ask("/v1/models/half_plus:predict", b"{")[0] == 400
    caller.refusal(lambda: caller.half(version=9))
    caller.refusal(lambda: caller.half(name="made up"))
    with urllib.request.urlopen(f"http://{server.rest_address}/monitoring/prometheus/metrics", timeout=60) as answer:
        text = answer.read().decode()
    samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(samples[':tensorflow:serving:request_count{model_name="half_plus",status="OK"}']) >= 1
    assert float(samples[':tensorflow:serving:request_count{model_name="half_plus",status="NOT_FOUND"}']) >= 1
    assert float(samples[':tensorflow:serving:request_latency_count{API="Predict",entrypoint="GRPC",model_name="half_plus"}']) >= 1
    assert float(samples[':tensorflow:serving:request_latency_count{API="predict",entrypoint="REST",model_name="half_plus"}']) >= 1
    assert float(samples[':tensorflow:serving:request_count{model_name="half_plus",status="INVALID_ARGUMENT"}']) >= 1
    buckets = [line for line in samples if line.startswith(':tensorflow:serving:request_latency_bucket{API="Predict"')]
    assert len(buckets) == 34  # 33 and +Inf
    assert float(samples['cxr_serving_batch_padding_bucket{le="0.0",model_name="half_plus"}']) >= 1  # batches without padding
    assert float(samples['cxr_serving_batch_size_count{model_name="half_plus"}']) >= 1
    assert samples['cxr_serving_version_state{model_name="half_plus",state="AVAILABLE",version="123"}'] == "1.0"
    assert "made up" not in text
