"""An HTTP server: uvicorn on a port of its own, in a thread of its own. REST and the page to try a model (serving/page) stand on it."""

import asyncio
import socket
import threading
from functools import partial
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from cxr.core.errors import CxrError
from cxr.serving.server.lingering import Lingering
from cxr.serving.server.options import Rest, Tls, host_and_port
from cxr.serving.server.tls import server_context

BACKLOG = 2048  # connections that the kernel keeps until they are accepted
_KEEP_ALIVE_SECONDS = 5  # an idle connection stays open that long
_STOP_SECONDS = 5  # beyond draining, for the event loop to end


class HttpServer:
    """The server and its thread.

    Attributes:
      address: "host:port".
    """

    def __init__(self, app: ASGIApp, host: str, port: int, limits: Rest, option: str, tls: Tls | None = None):
        """Opens the port and starts answering.

        Args:
          app: what answers.
          host: address to listen on.
          port: 0 takes a free one.
          limits: what one client may cost.
          option: of the command line, that names the port: for errors.
          tls: None for plaintext.

        Raises:
          CxrError: the port cannot be opened, or the TLS key and certificates are not usable.
        """
        context = None if tls is None else server_context(tls)
        self._socket = _listen(host, port, limits, option)
        self.address = host_and_port(host, self._socket.getsockname()[1])
        config = uvicorn.Config(
            Lingering(app, limits.header_seconds),
            http=partial(_Connection, limits),  # type: ignore[arg-type] # it is called only
            ws="none",
            loop="asyncio",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="error",  # below: a line for every malformed request
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            ssl_context_factory=None if context is None else lambda config, default: context,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="http", daemon=True)
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Closes the port and waits up to `seconds` for the requests already accepted."""
        self._server.config.timeout_graceful_shutdown = seconds  # type: ignore[assignment] # any number will do
        self._server.should_exit = True
        self._thread.join(seconds + _STOP_SECONDS)
        self._socket.close()  # for a server that was told to stop before it had started


class _Connection(H11Protocol):
    """uvicorn's connection, with what it has no options for: how many there are, and how long the head of a request may take."""

    def __init__(self, limits: Rest, **arguments: Any):
        super().__init__(**arguments)
        self._limits = limits
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._limits.max_connections:
            transport.abort()
        else:
            self._watch()

    def handle_events(self) -> None:
        super().handle_events()
        self._watch()

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP, unless an answer has begun: uvicorn would run into an error of h11's, with a traceback in the log."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watch()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Starts the time of a head (or of the rest of a body that was refused), unless the application has the request."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_watch()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self._limits.header_seconds, self.transport.abort)

    def _stop_watch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _listen(host: str, port: int, limits: Rest, option: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=host == "::")
    except OSError as error:
        raise CxrError(f"port {port} on {host} cannot be opened ({error.strerror}); choose another with {option}") from error
    # For clients that do not read their answers; accepted connections inherit it.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(limits.body_seconds * 1000))
    return listening
