"""REST on its own port: /v1/models/… for status, metadata and inference, and Prometheus metrics."""

import json
import logging
import re
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_pb2

from cxr.core.errors import CxrError
from cxr.serving.server import rest_json
from cxr.serving.server.batching import Call
from cxr.serving.server.errors import ServingError, from_exception, invalid, not_found
from cxr.serving.server.metrics import Metrics
from cxr.serving.server.services import SIGNATURE_DEF, Handlers

METRICS_PATH = "/monitoring/prometheus/metrics"
TIMEOUT_SECONDS = 60  # for a client that stops sending or reading
_SPEC = r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_INFERENCE = re.compile(_SPEC + r":(?P<method>predict|classify|regress)", re.IGNORECASE)
_STATUS = re.compile(_SPEC, re.IGNORECASE)
_METADATA = re.compile(_SPEC + r"/metadata", re.IGNORECASE)
_HTTP = {
    grpc.StatusCode.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.FAILED_PRECONDITION: HTTPStatus.PRECONDITION_FAILED,
    grpc.StatusCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    grpc.StatusCode.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
    grpc.StatusCode.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    grpc.StatusCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    grpc.StatusCode.UNIMPLEMENTED: HTTPStatus.NOT_IMPLEMENTED,
}
log = logging.getLogger(__name__)


class RestServer:
    """The HTTP server and its thread."""

    def __init__(self, host: str, port: int, handlers: Handlers, metrics: Metrics, max_body_bytes: int):
        """Opens the port and starts answering.

        Raises:
            CxrError: the port cannot be opened.
        """
        attributes = {"handlers": handlers, "metrics": metrics, "max_body_bytes": max_body_bytes}
        try:
            self._http = _Http((host, port), type("Handler", (_Handler,), attributes))
        except OSError as error:
            raise CxrError(f"port {port} on {host} cannot be opened ({error.strerror}); choose another with --rest-port") from error
        self.address = f"{host}:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, name="rest", daemon=True)
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Closes the port and waits up to `seconds` for answers under way."""
        self._http.shutdown()
        self._http.server_close()
        self._http.idle(seconds)


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, *args):
        self._busy, self._changed = 0, threading.Condition()
        super().__init__(*args)

    def busy(self, change: int) -> None:
        with self._changed:
            self._busy += change
            self._changed.notify_all()

    def idle(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._busy == 0, seconds)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "cxr-serve"
    sys_version = ""
    timeout = TIMEOUT_SECONDS
    handlers: Handlers
    metrics: Metrics
    max_body_bytes: int
    server: _Http

    def do_GET(self) -> None:  # noqa: D102, N802
        self._answer(self._get)

    def do_POST(self) -> None:  # noqa: D102, N802
        self._answer(self._post)

    def _answer(self, function) -> None:
        self.server.busy(+1)
        try:
            kind, body, status = "application/json", b"", HTTPStatus.OK
            try:
                kind, body = function()
            except Exception as error:
                refusal = from_exception(error)
                status = _HTTP.get(refusal.code, HTTPStatus.INTERNAL_SERVER_ERROR)
                body = json.dumps({"error": refusal.message}).encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError as error:
            self.close_connection = True
            log.debug("client of %s went away: %s", self.path, error)
        finally:
            self.server.busy(-1)

    def _get(self) -> tuple[str, bytes]:
        path = self.path.partition("?")[0]
        if path == METRICS_PATH:
            return "text/plain; version=0.0.4", self.metrics.text()
        if match := _METADATA.fullmatch(path):
            request = get_model_metadata_pb2.GetModelMetadataRequest(model_spec=_spec(match), metadata_field=[SIGNATURE_DEF])
            return "application/json", json.dumps(rest_json.metadata(self.handlers.metadata(request)), indent=1).encode()
        if match := _STATUS.fullmatch(path):
            answer = self.handlers.status(get_model_status_pb2.GetModelStatusRequest(model_spec=_spec(match)))
            return "application/json", json.dumps(rest_json.status(answer), indent=1).encode()
        raise (invalid if path.startswith("/v1/") else not_found)(f"Malformed request: GET {path}")

    def _post(self) -> tuple[str, bytes]:
        body = self._body()
        match = _INFERENCE.fullmatch(self.path.partition("?")[0])
        if not match:
            raise invalid(f"Malformed request: POST {self.path}")
        answer = rest_json.infer(match["method"].lower(), _spec(match), body, self.handlers, Call(when_gone=lambda callback: None))
        return "application/json", json.dumps(answer).encode()

    def _body(self) -> bytes:
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            self.close_connection = True
            raise invalid("Content-Length is missing; send the body in one piece with its length") from None
        if not 0 <= length <= self.max_body_bytes:
            self.close_connection = True  # the rest of the body is not read
            raise ServingError(grpc.StatusCode.RESOURCE_EXHAUSTED, f"The body has {length} bytes, more than {self.max_body_bytes}")
        try:
            body = self.rfile.read(length)
        except TimeoutError:
            self.close_connection = True
            raise ServingError(grpc.StatusCode.DEADLINE_EXCEEDED, "The body did not arrive in time") from None
        if len(body) < length:
            self.close_connection = True
            raise invalid("The body ended early")
        return body

    def log_message(self, format: str, *args) -> None:
        log.debug(format, *args)


def _spec(match: re.Match[str]) -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=match["name"])
    if match["version"]:
        if int(match["version"]) >= 2**63:
            raise invalid(f"Failed to convert version: {match['version']} to numeric.")
        spec.version.value = int(match["version"])
    elif match["label"]:
        spec.version_label = match["label"]
    return spec
