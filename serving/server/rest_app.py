"""What REST answers: /v1/models/… for status, metadata and inference, and Prometheus metrics. An ASGI application."""

import asyncio
import json
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from urllib.parse import unquote

import grpc
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_pb2

from cxr.core.model_versions import LARGEST_VERSION
from cxr.serving.server import rest_body, rest_json
from cxr.serving.server.batching import Call
from cxr.serving.server.errors import ServingError, from_exception, invalid, not_found
from cxr.serving.server.metrics import REST, Metrics
from cxr.serving.server.options import Limits, Rest
from cxr.serving.server.services import SIGNATURE_DEF, Handlers

METRICS_PATH = "/monitoring/prometheus/metrics"
# TensorFlow Serving's patterns (http_rest_api_util.cc)
_INFERENCE = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?:(classify|regress|predict)", re.IGNORECASE | re.ASCII)
_STATUS = re.compile(r"/v1/models(?:/([^/:]+))?(?:/versions/(\d+)|/labels/([^/:]+))?(?:/(metadata))?", re.IGNORECASE | re.ASCII)
# TensorFlow Serving's table (http_server.cc, ToHTTPStatusCode); 500 for the others
_HTTP = {
    grpc.StatusCode.CANCELLED: 499,  # nginx's "client closed request"
    grpc.StatusCode.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
    grpc.StatusCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS: HTTPStatus.CONFLICT,
    grpc.StatusCode.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    grpc.StatusCode.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    grpc.StatusCode.FAILED_PRECONDITION: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.ABORTED: HTTPStatus.CONFLICT,
    grpc.StatusCode.OUT_OF_RANGE: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.UNIMPLEMENTED: HTTPStatus.NOT_IMPLEMENTED,
    grpc.StatusCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    grpc.StatusCode.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
}
# Memory in units of the largest message: bodies held at a time, and what reading one JSON document may take (`rest_json.cost`).
# A document of images in base64 fits, however large; numbers cost more.
_BODIES, _JSON = 2, 5
_MOST_DIGITS = 20  # of a version, one more than the largest has; int() refuses thousands with an error of its own


def http_status(error: ServingError) -> int:
    """Returns the HTTP status of an error."""
    if isinstance(error, rest_body.BodyRefusedError):
        return error.status
    return _HTTP.get(error.code, HTTPStatus.INTERNAL_SERVER_ERROR)


class RestApp:
    """The application.

    Bodies are received on the event loop, which costs a slow client no thread. JSON is read and written by one thread: Python could
    not do two at a time anyway, and so the memory of one document is the limit of all. Inference waits in threads of its own.
    """

    def __init__(self, handlers: Handlers, metrics: Metrics, limits: Limits, rest: Rest):
        self._handlers, self._metrics, self._limits, self._rest = handlers, metrics, limits, rest
        self._memory = rest_body.Memory(_BODIES * limits.max_message_bytes)
        self._json = ThreadPoolExecutor(1, "rest-json")
        self._workers = ThreadPoolExecutor(limits.max_concurrent_requests, "rest")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request (ASGI)."""
        request = Request(scope, receive)
        path = scope["raw_path"].decode("ascii")  # undecoded: %2F belongs to a name
        try:
            if rest_body.contradictory(request):
                response = _refusal(request, invalid("Content-Length beside Transfer-Encoding: where the body ends is not certain"))
            elif request.method == "GET" and path == METRICS_PATH:
                body = await run_in_threadpool(self._metrics.text)
                response = Response(body, headers={"Content-Type": "text/plain; version=0.0.4"})
            else:
                response = await self._counted(request, path)
        except ClientDisconnect:
            return
        except asyncio.CancelledError:  # the time to drain is over: uvicorn would answer 500 and log a traceback
            response = _refusal(request, ServingError(grpc.StatusCode.UNAVAILABLE, "The server is shutting down"))
        await response(scope, receive, send)

    def close(self) -> None:
        """Lets the threads end."""
        for pool in (self._json, self._workers):
            pool.shutdown(wait=False, cancel_futures=True)

    async def _counted(self, request: Request, path: str) -> Response:
        match = {"GET": _STATUS, "POST": _INFERENCE}[request.method].fullmatch(path) if request.method in ("GET", "POST") else None
        begin, code = time.perf_counter(), grpc.StatusCode.CANCELLED
        try:
            if match is None:
                raise (invalid if path.lower().startswith("/v1/") else not_found)(f"Malformed request: {request.method} {path}")
            body = await (self._get(match) if request.method == "GET" else self._post(match, request))
            code = grpc.StatusCode.OK
            return Response(body, media_type="application/json")
        except ClientDisconnect:
            raise
        except Exception as error:
            refusal = from_exception(error)
            code = refusal.code
            return _refusal(request, refusal)
        finally:
            model = unquote(match[1] or "") if match else ""
            api = match[4].lower() if match and request.method == "POST" else ""
            self._metrics.count(REST, api, model, code.name, time.perf_counter() - begin)

    async def _get(self, match: re.Match[str]) -> bytes:
        if match[1] is None:
            raise invalid("Missing model name in request.")
        return await run_in_threadpool(self._metadata if match[4] else self._status, _spec(match))

    def _metadata(self, spec: model_pb2.ModelSpec) -> bytes:
        request = get_model_metadata_pb2.GetModelMetadataRequest(model_spec=spec, metadata_field=[SIGNATURE_DEF])
        return json.dumps(rest_json.metadata(self._handlers.metadata(request)), indent=1).encode()

    def _status(self, spec: model_pb2.ModelSpec) -> bytes:
        answer = self._handlers.status(get_model_status_pb2.GetModelStatusRequest(model_spec=spec))
        return json.dumps(rest_json.status(answer), indent=1).encode()

    async def _post(self, match: re.Match[str], request: Request) -> bytes:
        limit, method, run = self._limits.max_message_bytes, match[4].lower(), asyncio.get_running_loop().run_in_executor
        with self._memory.lease() as lease:
            spec = _spec(match)
            body = await rest_body.read(request, lease, limit, self._rest.body_seconds)
            message, rows = await run(self._json, rest_json.request_of, method, spec, body, self._handlers, _JSON * limit)
            client = _Client()
            watch = asyncio.create_task(client.watch(request))
            try:
                call = Call(self._rest.timeout_seconds, client.when_gone)
                answer = await run(self._workers, self._handlers.infer, method.capitalize(), message, call, REST)
            finally:
                watch.cancel()
            return await run(self._json, rest_json.answer_of, method, answer, rows)


class _Client:
    """Whether the client of a request still waits for the answer."""

    def __init__(self) -> None:
        self._gone = False
        self._callbacks: list[Callable[[], object]] = []
        self._lock = threading.Lock()

    def when_gone(self, callback: Callable[[], object]) -> bool:
        """Calls the function when the client goes away; returns False when it has gone already. For `Call`."""
        with self._lock:
            self._callbacks.append(callback)
            return not self._gone

    async def watch(self, request: Request) -> None:
        """Waits for the end of the connection; cancel it when the answer is there."""
        while (await request.receive())["type"] != "http.disconnect":
            pass
        with self._lock:
            self._gone = True
        for callback in self._callbacks:
            callback()


def _refusal(request: Request, error: ServingError) -> Response:
    headers = {"Connection": "close"} if rest_body.ends_connection(request, error) else None
    return Response(json.dumps({"error": error.message}), http_status(error), headers, "application/json")


def _spec(match: re.Match[str]) -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=unquote(match[1]))
    if match[2]:
        number = int(match[2].lstrip("0")[:_MOST_DIGITS] or "0")
        if number > LARGEST_VERSION:
            raise invalid(f"Failed to convert version: {match[2]} to numeric.")
        spec.version.value = number
    elif match[3]:
        spec.version_label = unquote(match[3])
    return spec
