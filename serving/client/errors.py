"""What can go wrong between client and server, one type per remedy."""

from __future__ import annotations

import re

import grpc

from cxr.core.errors import CxrError
from cxr.serving.defaults import GRPC_PORT
from cxr.serving.remedies import PREDICT, Remedies

SIZE_HINTS = ("larger than max", "exceeds maximum size")  # gRPC's texts (C++, Go; Java) where a message is over its receiver's limit
LOAD_HINTS = ("queue", "at once")  # TensorFlow Serving's batching, the embedded server's limit of requests
HTTP_HINTS = ("http1.x", "HTTP/2", "ALPN")  # an HTTP/1 answer where gRPC's was expected; over TLS, a server that speaks no HTTP/2
NAME_HINTS = ("errors resolving", "DNS resolution failed")
# What a server with TLS does with plaintext, and with a client whose certificate is missing or not trusted, and one that ends does too.
CUT_HINTS = ("Socket closed", "reset by peer")
_FUNCTIONS = re.compile(r"(?:\{\{function_node [^}]*\}\}\s*)+")
# gRPC reports a failed TLS handshake as UNAVAILABLE.
TLS_HINTS = ("handshake", "ssl_error", "certificate", "wrong version number", "verification")


class RequestFailed(CxrError):
    """The server answered with an error, or did not answer.

    Attributes:
      code: gRPC status code.
      details: the server's own text.
    """

    def __init__(self, message: str, code: grpc.StatusCode = grpc.StatusCode.UNKNOWN, details: str = ""):
        super().__init__(message)
        self.code = code
        self.details = details


class ServerUnavailable(RequestFailed):
    """Nobody answers at the address until the deadline."""


class Overloaded(ServerUnavailable):
    """A server had no room for the request until the deadline: UNAVAILABLE, or RESOURCE_EXHAUSTED for another reason than size."""


class TlsFailed(ServerUnavailable):
    """The two sides do not agree on TLS or do not trust each other's certificate."""


class CutOff(ServerUnavailable):
    """Somebody listens there and ends the connection: TLS where none was spoken, a client's certificate that is missing or not trusted."""


class NotGrpc(ServerUnavailable):
    """Somebody listens there and speaks another protocol."""


class DeadlineExceeded(RequestFailed):
    """No answer in time."""


class ModelNotFound(RequestFailed):
    """The server does not serve that model, version or label."""


class SignatureMismatch(RequestFailed):
    """The model does not have the signature, or wants other inputs."""


class InvalidRequest(RequestFailed):
    """INVALID_ARGUMENT that the inputs' values may have caused."""


class TooLarge(RequestFailed):
    """RESOURCE_EXHAUSTED because the message has more bytes than the server takes."""


class BadAnswer(RequestFailed):
    """An answer that is no prediction of a model of this project."""


class BadImage(RequestFailed):
    """One image cannot be read here, or the server could not decode it."""


def from_rpc(
    error: grpc.RpcError, server: str, model: str, *, over_tls: bool = False, here: bool = True, remedies: Remedies = PREDICT
) -> RequestFailed:
    """Turns gRPC's error into one that says what to do.

    Args:
      error: as raised by a call.
      server: host:port, for the message.
      model: "ensemble", "ensemble version 3" …, for the message.
      over_tls: how the client asked.
      here: the server's address is of this machine.
      remedies: of who asked.
    """
    code: grpc.StatusCode = error.code()
    details: str = error.details() or ""
    kind, message = _explain(code, details, server, model, over_tls, here, remedies)
    return kind(message, code, details)


def plain_reason(details: str) -> str:
    """Returns the first line of a server's text without what it says of the graph: names of functions and nodes are nothing to a user."""
    return _FUNCTIONS.sub("", details).partition("\n")[0]


def _explain(
    code: grpc.StatusCode, details: str, server: str, model: str, over_tls: bool, here: bool, remedies: Remedies
) -> tuple[type[RequestFailed], str]:
    codes = grpc.StatusCode
    if code == codes.UNAVAILABLE:
        if any(hint in details.lower() for hint in TLS_HINTS):
            options = "--tls, --ca, --server-name, --cert and --key"
            return TlsFailed, f"{server}: TLS failed ({details}); check {options} against the server's ssl_config_file"
        if any(hint in details for hint in LOAD_HINTS):
            return Overloaded, f"{server}: overloaded ({details}); {remedies.full}"
        if any(hint in details for hint in HTTP_HINTS):
            remedy = f"that is an HTTP port, REST's perhaps; name the gRPC port, usually {GRPC_PORT}"
            return NotGrpc, f"{server}: does not speak gRPC ({details}); {remedy}"
        if any(hint in details for hint in NAME_HINTS):
            return ServerUnavailable, f"{server}: the name has no address ({details}); correct it, or name a server that this machine finds"
        where = "with" if here else "on that machine"
        remedy = remedies.away or f"start one {where}: cxr serve MODELS_DIR{'' if here else ' --host 0.0.0.0'} --port {_port(server)}"
        if any(hint in details for hint in CUT_HINTS):
            asked = "if it asks for certificates of clients give one that it trusts, --cert and --key"
            wanted = asked if over_tls else "if it uses TLS give --tls or --ca"
            return CutOff, f"{server}: the connection was ended there ({details}); {wanted}; else {remedy}"
        return ServerUnavailable, f"{server}: no server answers there ({details}); {remedy}"
    if code == codes.DEADLINE_EXCEEDED:
        return DeadlineExceeded, f"{server}: {model} did not answer in time; {remedies.slow}"
    if code == codes.NOT_FOUND or "servable version label" in details:
        return ModelNotFound, f"{server}: {model} is not served there ({details}); see: cxr serving status --server {server}"
    if code == codes.FAILED_PRECONDITION and "signature" in details.lower() or _about_inputs(details):
        return SignatureMismatch, f"{server}: {model} does not take this request ({details}); push a model that this pipeline trained"
    if code == codes.INVALID_ARGUMENT:
        return InvalidRequest, f"{server}: {model} refused the input: {plain_reason(details)}"
    if code == codes.RESOURCE_EXHAUSTED and any(hint in details for hint in SIZE_HINTS):
        return TooLarge, f"{server}: {model} refused the size ({details}); {remedies.large}"
    if code == codes.RESOURCE_EXHAUSTED:
        return Overloaded, f"{server}: overloaded ({details}); {remedies.full}"
    if code == codes.UNIMPLEMENTED:
        return (
            RequestFailed,
            f"{server}: does not speak TensorFlow Serving's protocol ({details}); is that the gRPC port ({GRPC_PORT}), not the REST port?",
        )
    return RequestFailed, f"{server}: {model} failed with {code.name}: {details}"


def _about_inputs(details: str) -> bool:
    return any(text in details for text in ("input size does not match signature", "Signature input alias", "Expects arg["))


def _port(server: str) -> str:
    return server.rpartition(":")[2] or str(GRPC_PORT)
