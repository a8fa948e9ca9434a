"""One gRPC channel to a model server: addresses, TLS, message size, deadlines and retries."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import Message

from cxr.core.errors import CxrError
from cxr.serving.client.errors import RequestFailed, ServerUnavailable, TlsFailed, from_rpc
from cxr.serving.client.wire import messages

DEFAULT_SERVER = "127.0.0.1:8500"  # TensorFlow Serving's gRPC port
MAX_MESSAGE = 2**31 - 1  # bytes, TensorFlow Serving's own limit; gRPC's default of 4 MiB would refuse one 600x600x3 float image
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds between two tries

# method of Connection.call -> path on the wire and type of the answer
METHODS: dict[str, tuple[str, type[Message]]] = {
    "Predict": ("/tensorflow.serving.PredictionService/Predict", messages.PredictResponse),
    "GetModelMetadata": ("/tensorflow.serving.PredictionService/GetModelMetadata", messages.GetModelMetadataResponse),
    "GetModelStatus": ("/tensorflow.serving.ModelService/GetModelStatus", messages.GetModelStatusResponse),
    "HandleReloadConfigRequest": ("/tensorflow.serving.ModelService/HandleReloadConfigRequest", messages.ReloadConfigResponse),
}


@dataclass(frozen=True)
class Tls:
    """How to trust the server and how to be trusted by it.

    Attributes:
        ca: PEM file of the authority that signed the server's certificate; None: the authorities gRPC brings along.
        certificate, key: PEM files of the client's own certificate, where the server asks for one (both or neither).
        server_name: name in the server's certificate, where it differs from the address.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    server_name: str | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """Reads the files.

        Raises:
            CxrError: a file cannot be read, or certificate and key are not both given.
        """
        if (self.certificate is None) != (self.key is None):
            raise CxrError("a client certificate needs its key: give both --cert and --key, or neither")
        ca, key, certificate = (_read(path) for path in (self.ca, self.key, self.certificate))
        return grpc.ssl_channel_credentials(ca, key, certificate)


class Connection:
    """Thread-safe; close it, or use it in a `with`."""

    def __init__(self, server: str = DEFAULT_SERVER, tls: Tls | None = None):
        """Makes the channel; nothing is sent before the first call.

        Args:
            server: host:port.
            tls: None for plaintext.

        Raises:
            CxrError: the address has no port, or a TLS file cannot be read.
        """
        host, colon, port = server.rpartition(":")
        if not colon or not host or not port.isdigit():
            raise CxrError(f"--server {server!r}: must be HOST:PORT, for example {DEFAULT_SERVER}")
        self.server = server
        options: list[tuple[str, Any]] = [
            ("grpc.max_send_message_length", MAX_MESSAGE),
            ("grpc.max_receive_message_length", MAX_MESSAGE),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 2000),
        ]
        if is_loopback(server):
            options.append(("grpc.enable_http_proxy", 0))
        if tls is not None and tls.server_name:
            options.append(("grpc.ssl_target_name_override", tls.server_name))
        credentials = None if tls is None else tls.credentials()
        self._channel = grpc.insecure_channel(server, options) if credentials is None else grpc.secure_channel(server, credentials, options)
        self._calls: dict[str, Callable[..., Any]] = {
            name: self._channel.unary_unary(path, request_serializer=_serialize, response_deserializer=answer.FromString)
            for name, (path, answer) in METHODS.items()
        }
        self._closed = threading.Event()

    def call(self, method: str, request: Message, timeout: float, about: str = "the model") -> Any:
        """Sends one request, again after UNAVAILABLE as long as the deadline allows (a prediction changes nothing, so twice is harmless).

        Args:
            method: a key of METHODS.
            request: its message.
            timeout: seconds for all tries together.
            about: model, for error messages.

        Returns:
            The answer's message.

        Raises:
            RequestFailed: one of its subclasses.
        """
        deadline, pause = time.monotonic() + timeout, FIRST_PAUSE
        last: RequestFailed | None = None
        while (remaining := deadline - time.monotonic()) > 0:
            try:
                return self._calls[method](request, timeout=remaining)
            except grpc.RpcError as error:
                failure = from_rpc(error, self.server, about)
            except ValueError:  # gRPC's answer to a closed channel
                raise RequestFailed(f"{self.server}: the connection was closed while {about} was asked") from None
            if not isinstance(failure, ServerUnavailable):
                # A server that comes and goes is the reason, where it was away before time ran out.
                raise last if last is not None and failure.code == grpc.StatusCode.DEADLINE_EXCEEDED else failure
            last = failure
            wait = pause * random.uniform(0.5, 1.0)  # jitter: clients of one server do not come back all at once
            if isinstance(failure, TlsFailed) or time.monotonic() + wait >= deadline or self._closed.wait(wait):
                raise failure
            pause = min(2 * pause, LONGEST_PAUSE)
        raise last or ServerUnavailable(f"{self.server}: no time left to ask {about}; raise --timeout", grpc.StatusCode.DEADLINE_EXCEEDED)

    def close(self) -> None:
        """Ends the channel; calls that wait fail."""
        self._closed.set()
        self._channel.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def is_loopback(server: str) -> bool:
    """Returns whether host:port is this machine itself."""
    host = server.rpartition(":")[0].strip("[]")
    return host in ("localhost", "::1") or host.startswith("127.")


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()


def _read(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise CxrError(f"{path}: cannot be read ({error.strerror}); name a PEM file") from None
