"""Fuzz targets: what clients send. The services are called as gRPC and the HTTP server call them, without a socket."""

from __future__ import annotations

import asyncio
import base64
import json
import runpy
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError, Message
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
)

from cxr.serving.server import Server
from cxr.serving.server.batching import Call
from cxr.serving.server.errors import from_exception
from cxr.serving.server.rest_app import RestApp

from .harness import Target
from .pictures import image_seeds, made_images
from .records import made_example

_MODELS = Path(__file__).parents[1] / "serving" / "data" / "make_models.py"
_OPTIONS: dict[str, Any] = {
    "limits": {"max_message_bytes": 2**22, "max_image_pixels": 2**20, "max_request_pixels": 2**22},
    "poll_seconds": 3600,
}
# What a client's request may not be answered with: the server's own fault.
_FAULTS = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DATA_LOSS)
_RPCS: tuple[tuple[str, type[Message]], ...] = (
    ("Predict", predict_pb2.PredictRequest),
    ("Classify", classification_pb2.ClassificationRequest),
    ("Regress", regression_pb2.RegressionRequest),
    ("MultiInference", inference_pb2.MultiInferenceRequest),
    ("GetModelMetadata", get_model_metadata_pb2.GetModelMetadataRequest),
    ("GetModelStatus", get_model_status_pb2.GetModelStatusRequest),
)
_SIZES = (-1, 0, 1, 2, 3, 8, 2**31, 2**40, 2**62, -(2**62))
_PATHS = (
    "/v1/models/image:predict",
    "/v1/models/half_plus:predict",
    "/v1/models/half_plus/versions/123:classify",
    "/v1/models/image/metadata",
)
_JSON: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    2**63,
    10**400,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    "\ud800",
    {"b64": "AAA="},
    {"b64": "?"},
    [],
    [[]],
    {},
)


def made_server(**options: Any) -> Server:
    """Starts a server of two small models, with less allowed than by default."""
    folder = tempfile.mkdtemp()
    runpy.run_path(str(_MODELS))["main"](folder)
    return Server.start(folder, port=0, **{"rest_port": None, **_OPTIONS, **options})


def grpc_target() -> Target:
    """One byte for the call, then the message."""
    server = made_server()

    def run(data: bytes) -> None:
        name, kind = _RPCS[data[0] % len(_RPCS)] if data else _RPCS[0]
        try:
            request: Any = kind.FromString(data[1:])
        except DecodeError:  # gRPC's own answer
            return
        try:
            if name == "GetModelMetadata":
                server.handlers.metadata(request)
            elif name == "GetModelStatus":
                server.handlers.status(request)
            else:
                server.handlers.infer(name, request, Call(seconds=4))
        except Exception as error:
            refusal = from_exception(error)
            if refusal.code in _FAULTS:
                raise

    seeds = tuple(bytes([k]) + _good(kind) for k, (_, kind) in enumerate(_RPCS))
    return Target(run, (*seeds, b"\0" + _predict(Random(1), odd=False)), lambda rng: b"\0" + _predict(rng, odd=True))


def rest_target() -> Target:
    """A request line, headers, an empty line, the body."""
    server = made_server()
    app = RestApp(server.handlers, server._metrics, server.options.limits, server.options.rest)
    loop = asyncio.new_event_loop()

    def run(data: bytes) -> None:
        status = loop.run_until_complete(_asked(app, data))
        assert status < 500 or status in (501, 504), f"status {status}"

    body = json.dumps({"instances": [1.0, 2.0]}).encode()
    image = json.dumps({"signature_name": "image_bytes", "inputs": [{"b64": base64.b64encode(image_seeds()[0]).decode()}]}).encode()
    seeds = (
        b"POST /v1/models/half_plus:predict\n\n" + body,
        b"POST /v1/models/image/versions/1:predict\ncontent-type: application/json\n\n" + image,
        b"POST /v1/models/half_plus/labels/x:classify\n\n" + b'{"examples": [{"x": [1.0], "y": "a"}], "context": {"z": 1}}',
        b"GET /v1/models/half_plus/versions/124\n\n",
        b"GET /v1/models/image/metadata\n\n",
    )
    return Target(run, seeds, _made_rest)


async def _asked(app: RestApp, data: bytes) -> int:
    """Gives the application a request as uvicorn would (h11 lets only such characters through); returns the answer's status."""
    head, _, body = data.partition(b"\n\n")
    first, *lines = head.split(b"\n") or [b""]
    method, _, path = first.partition(b" ")
    path = bytes(byte for byte in path if 0x21 <= byte <= 0x7E) or b"/"
    headers = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines) if name.strip()]
    headers = [(name, value) for name, value in headers if name != b"content-length" or (value.isdigit() and len(value) < 21)]
    scope = {
        "type": "http",
        "method": method.decode("latin-1"),
        "raw_path": path,
        "path": path.decode(),
        "query_string": b"",
        "headers": headers,
    }
    messages = [{"type": "http.request", "body": body, "more_body": False}]
    status = []

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        await asyncio.sleep(3600)
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            status.append(message["status"])

    await app(scope, receive, send)  # type: ignore[arg-type]
    return status[0]


def _good(kind: type[Message]) -> bytes:
    """A request that names the model half_plus, with an example where it takes one."""
    request: Any = kind()
    if isinstance(request, inference_pb2.MultiInferenceRequest):
        request.tasks.add(method_name="tensorflow/serving/regress").model_spec.name = "half_plus"
    else:
        request.model_spec.name = "half_plus"
    if isinstance(request, get_model_metadata_pb2.GetModelMetadataRequest):
        request.metadata_field.append("signature_def")
    elif "input" in request.DESCRIPTOR.fields_by_name:
        request.input.example_list.examples.add().features.feature["x"].float_list.value.append(1.0)
    return request.SerializeToString()


def _predict(rng: Random, *, odd: bool) -> bytes:
    """A Predict request of a signature of the two models; `odd`: with dtype, shape or values that do not fit."""
    request = predict_pb2.PredictRequest()
    name, signature, alias = rng.choice(
        (("half_plus", "", "x"), ("image", "image_bytes", "image_bytes"), ("image", "image_tensor", "image_tensor"))
    )
    request.model_spec.name, request.model_spec.signature_name = name, signature
    values: Any = {
        "x": np.array([1, 2], np.float32),
        "image_bytes": [made_images(rng), made_example(rng)],
        "image_tensor": np.zeros([1, 8, 8, 3], np.float32),
    }
    tensor = request.inputs[alias]
    tensor.CopyFrom(tf.make_tensor_proto(values[alias]))
    for _ in range(rng.randint(1, 3) if odd else 0):
        change = rng.randrange(7)
        if change == 0:
            tensor.dtype = rng.randrange(30)
        elif change == 1 and tensor.tensor_shape.dim:
            rng.choice(tensor.tensor_shape.dim).size = rng.choice(_SIZES)
        elif change == 2:
            for _ in range(rng.choice((1, 2, 300))):
                tensor.tensor_shape.dim.add(size=rng.choice(_SIZES))
        elif change == 3:
            tensor.tensor_content = rng.randbytes(rng.choice((0, 1, 4, 8, 768)))
        elif change == 4:
            tensor.string_val.append(rng.choice((b"", b"\xff", made_images(rng)[:60], "日本".encode())))
            tensor.float_val.append(rng.choice((float("nan"), float("inf"), 1e38)))
        elif change == 5:
            request.model_spec.version.value = rng.choice((1, 123, -1, 2**62))
        else:
            request.output_filter.append(rng.choice(("mean", "y", "", "mean")))
    return request.SerializeToString()


def _made_rest(rng: Random) -> bytes:
    """A request of odd JSON, or of much of it."""

    def value(depth: int) -> Any:
        if depth and rng.random() < 0.6:
            return [value(depth - 1) for _ in range(rng.randint(0, 3))] if rng.random() < 0.6 else {rng.choice("xyz"): value(depth - 1)}
        return rng.choice(_JSON)

    document: Any = {
        rng.choice(("instances", "inputs", "examples", "context", "signature_name")): value(3) for _ in range(rng.randint(1, 2))
    }
    if rng.random() < 0.3:
        document["signature_name"] = rng.choice(("image_bytes", "image_tensor", "serving_default", "", 3))
    body = json.dumps(document if rng.random() < 0.9 else value(4)).encode()
    if rng.random() < 0.05:
        body = body.replace(b"[", b"[" * rng.choice((1000, 30_000)), 1)
    headers = rng.choice(
        (
            b"",
            b"content-encoding: gzip\n",
            b"content-length: 5\n",
            b"content-length: 99999999999999999999\n",
            b"transfer-encoding: chunked\ncontent-length: 4\n",
        )
    )
    return b"POST " + rng.choice(_PATHS).encode() + b"\n" + headers + b"\n" + body
