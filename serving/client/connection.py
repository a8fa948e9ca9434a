"""One gRPC channel to a model server: addresses, TLS, message size, deadlines and retries."""

from __future__ import annotations

import random
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import Message

from cxr.core.errors import UsageError
from cxr.serving.client import pem
from cxr.serving.client.errors import CutOff, NotGrpc, RequestFailed, ServerUnavailable, TlsFailed, from_rpc
from cxr.serving.client.wire import messages
from cxr.serving.defaults import LARGEST_MESSAGE, LARGEST_PORT, SERVER
from cxr.serving.remedies import ASK, PREDICT, Remedies

EVERY_ADDRESS = "dns:///"  # before HOST:PORT: every address of the name counts, as gRPC writes it
_ADDRESS = re.compile(rf"(?:{EVERY_ADDRESS})?(?P<host>\S+):(?P<port>[0-9]{{1,5}})")
# Requests go to all addresses of a name in turn: gRPC's default, pick_first, would leave all but one replica idle.
SERVICE_CONFIG = '{"loadBalancingConfig": [{"round_robin": {}}]}'
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
          UsageError: a file cannot be read or used, or certificate and key are not both given.
        """
        if (self.certificate is None) != (self.key is None):
            raise UsageError("a client certificate needs its key: give both --cert and --key, or neither")
        ca = None if self.ca is None else pem.certificates("--ca", self.ca)
        certificate = None if self.certificate is None else pem.certificates("--cert", self.certificate)
        key = None if self.key is None or certificate is None else pem.key_of(certificate, self.key)
        return grpc.ssl_channel_credentials(ca, key, certificate)


class Connection:
    """Thread-safe; close it, or use it in a `with`."""

    def __init__(self, server: str = SERVER, tls: Tls | None = None, remedies: Remedies = PREDICT):
        """Makes the channel; nothing is sent before the first call.

        Args:
          server: host:port, or another target that gRPC resolves, dns:///host:port among them. Where the name has several addresses
            requests go to each in turn.
          tls: None for plaintext.
          remedies: of who asks, for messages.

        Raises:
          CxrError: the address has no port, or a TLS file cannot be used.
        """
        _split(server)
        self.server, self._over_tls, self._remedies = server, tls is not None, remedies
        options = channel_options(server)
        if tls is not None and tls.server_name:
            options.append(("grpc.ssl_target_name_override", tls.server_name))
        credentials = None if tls is None else tls.credentials()
        self._channel = grpc.insecure_channel(server, options) if credentials is None else grpc.secure_channel(server, credentials, options)
        self._calls: dict[str, Callable[..., Any]] = {
            name: self._channel.unary_unary(path, request_serializer=_serialize, response_deserializer=answer.FromString)
            for name, (path, answer) in METHODS.items()
        }
        self._closed = threading.Event()

    def call(self, method: str, request: Message, timeout: float, about: str = "the model", retry: bool = True) -> Any:
        """Sends one request, again where no server or an overloaded one is found (every call can be repeated without harm).

        Args:
          method: a key of METHODS.
          request: its message.
          timeout: seconds for all tries together.
          about: model, for error messages.
          retry: try again after growing pauses, as long as the deadline allows.

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
                here = is_loopback(self.server)
                failure = from_rpc(error, self.server, about, over_tls=self._over_tls, here=here, remedies=self._remedies)
            except ValueError:  # gRPC's answer to a closed channel
                raise RequestFailed(f"{self.server}: the connection was closed while {about} was asked") from None
            if not isinstance(failure, ServerUnavailable):
                # A server that comes and goes is the reason, where it was away before time ran out.
                raise last if last is not None and failure.code == grpc.StatusCode.DEADLINE_EXCEEDED else failure
            # Of a name with several addresses gRPC tells the last failure: that nobody listens at one says less than what another did.
            if type(failure) is not ServerUnavailable or not isinstance(last, CutOff | NotGrpc):
                last = failure
            wait = pause * random.uniform(0.5, 1.0)  # jitter: clients of one server do not come back all at once
            if not retry or isinstance(failure, TlsFailed) or time.monotonic() + wait >= deadline or self._closed.wait(wait):
                raise last
            pause = min(2 * pause, LONGEST_PAUSE)
        reason = f"{self.server}: no time left to ask {about}; {self._remedies.slow}"
        raise last or ServerUnavailable(reason, grpc.StatusCode.DEADLINE_EXCEEDED)

    def close(self) -> None:
        """Ends the channel; calls that wait fail."""
        self._closed.set()
        self._channel.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def channel_options(server: str) -> list[tuple[str, Any]]:
    """Returns what every channel to a model server is made with; one to this machine goes past the proxies of the environment."""
    options: list[tuple[str, Any]] = [
        ("grpc.max_send_message_length", LARGEST_MESSAGE),
        ("grpc.max_receive_message_length", LARGEST_MESSAGE),  # gRPC's default of 4 MiB would refuse one 600x600x3 float image
        ("grpc.service_config", SERVICE_CONFIG),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2000),
    ]
    return [*options, ("grpc.enable_http_proxy", 0)] if is_loopback(server) else options


def is_loopback(server: str) -> bool:
    """Returns whether host:port is this machine itself."""
    host = _split(server)[0].strip("[]")
    return host in ("localhost", "::1") or host.startswith("127.")


def connect_each(server: str, tls: Tls | None = None, remedies: Remedies = ASK) -> list[Connection]:
    """Connects to each server behind an address, to tell or ask every one of them.

    Args:
      server: host:port for one connection; dns:///host:port for one to each address that the name has now.
      tls: None for plaintext; certificates are compared with the name, not with the addresses.
      remedies: of who asks, for messages.

    Raises:
      UsageError: malformed.
      ServerUnavailable: the name has no address.
    """
    if not server.startswith(EVERY_ADDRESS):
        return [Connection(server, tls, remedies)]
    host, port = _split(server)
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)}
    except OSError as error:
        raise ServerUnavailable(
            f"{server}: {host} has no address ({error.strerror}); name a headless Service or a host that resolves here"
        ) from None
    named = None if tls is None else replace(tls, server_name=tls.server_name or host)
    addresses = (f"[{address}]:{port}" if ":" in address else f"{address}:{port}" for address in sorted(map(str, found)))
    return [Connection(address, named, remedies) for address in addresses]


def _split(server: str) -> tuple[str, str]:
    match = _ADDRESS.fullmatch(server)
    if match is None or int(match["port"]) > LARGEST_PORT:  # gRPC would ask another port: of a larger number it keeps the last 16 bits
        raise UsageError(f"{server!r}: must be HOST:PORT or {EVERY_ADDRESS}HOST:PORT, for example {SERVER}")
    return match["host"], match["port"]


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()
