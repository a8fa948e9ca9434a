"""A server in this process: its parts, started and stopped in the right order."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from cxr.core.errors import CxrError
from cxr.serving import models_config
from cxr.serving.defaults import LOOPBACK
from cxr.serving.server import configuring, ports
from cxr.serving.server.batching import Runner
from cxr.serving.server.manager import Manager
from cxr.serving.server.metrics import Metrics
from cxr.serving.server.options import ServerOptions, host_and_port
from cxr.serving.server.request_log import RequestLog
from cxr.serving.server.rest import RestServer
from cxr.serving.server.services import Handlers, ModelService, PredictionService
from cxr.serving.server.tls import server_context
from cxr.serving.server.warmup import warm_up
from cxr.serving.server.wire import model_service_pb2, prediction_service_pb2

log = logging.getLogger(__name__)
SPARE_THREADS = 16  # for status, metadata, health and refusals while all others wait for inference
CALLS_PER_THREAD = 4  # under way or waiting for a thread; gRPC refuses what comes above (RESOURCE_EXHAUSTED, the only code it has for that)
# gRPC's synchronous server holds a thread for a call whose message does not come, and knows no time-out for it but the age of connections:
# after it, what is under way there has the grace to end. By then calls that were begun and never sent are gone.
CONNECTION_SECONDS = 3600.0  # unless the options name another age
CONNECTION_GRACE_SECONDS = 600.0
IDLE_SECONDS = 600.0  # a connection without calls ends; the client opens another when it needs one
COUNT_SECONDS = 0.2  # gRPC cuts calls off so much later than they are counted: those cut off would count as ended
HEALTH_NAMES = ("", "PredictionService", "ModelService")  # the last two are TensorFlow Serving's names
_NO_LIMIT = -1
_EVERY_ADDRESS = ("0.0.0.0", "::")  # listens on the loopback address, too


class Page(Protocol):
    """The page to try a model, as the server beside it knows it."""

    address: str  # "host:port"

    def stop(self, seconds: float) -> None:
        """Closes the port and waits up to `seconds` for answers under way."""


# Opens the page: of the server's gRPC address, of what gives its models' names, of its options. The page asks this server as every client
# does, and knows its modules; given by the caller, its code is none of those who start a server without one (InfraCheck's cache key).
OpenPage = Callable[[str, Callable[[], Sequence[str]], ServerOptions], Page]


class Server:
    """An embedded server; use `Server.start`, and `stop` or `with`.

    Attributes:
      address: "host:port" of gRPC.
      rest_address: "host:port" of REST, or None.
      page_address: "host:port" of the page to try a model, or None.
    """

    def __init__(self, options: ServerOptions, open_page: OpenPage | None = None):
        """Builds the parts; nothing is loaded and no port is open yet.

        Args:
          options: the server.
          open_page: serving.page.server.beside; called where the options have a `page_port`.

        Raises:
          ValueError: they have one, and there is no such function.
        """
        if options.page_port is not None and open_page is None:
            raise ValueError("page_port: whoever starts this server gives it no page")
        self.options = options
        self._open_page = open_page
        self.address = ""
        self.rest_address: str | None = None
        self.page_address: str | None = None
        self._runner = Runner(options.batching)
        self.manager = Manager(options, lambda version: warm_up(version, options.limits))
        self._metrics = Metrics(self.manager)
        self._runner.observer = self._metrics.batch
        self._log = RequestLog(options.request_log, self._metrics.logged) if options.request_log else None
        self.handlers = Handlers(self.manager, self._runner, options.limits, self._metrics, self._log.offer if self._log else None)
        self._health = health.HealthServicer()
        self._grpc: grpc.Server | None = None
        self._rest: RestServer | None = None
        self._page: Page | None = None
        self._closing = threading.Event()

    @classmethod
    def start(cls, models_dir: Path | str | None = None, *, open_page: OpenPage | None = None, **options: Any) -> "Server":
        """Loads the models, opens the ports and returns a server that answers.

        Args:
          models_dir: folder of <model>/<version>/saved_model.pb.
          open_page: as of the constructor.
          **options: fields of ServerOptions.

        Raises:
          CxrError: no model, a model that does not load, a port in use, or a TLS key or certificate that cannot be used.
          pydantic.ValidationError: wrong options.
          ValueError: a page's port and no page.
        """
        server = cls(ServerOptions(models_dir=None if models_dir is None else Path(models_dir), **options), open_page)
        try:
            server.open()
        except BaseException:
            server.stop(drain_seconds=0)
            raise
        return server

    def open(self) -> None:
        """Loads the models, then opens the ports; see `start` for errors."""
        options = self.options
        ports.check(options)
        if options.tls is not None:
            server_context(options.tls)  # gRPC would refuse a wrong key when all models are loaded, and not say why
        if options.model_config_file is not None:
            config = models_config.read(options.model_config_file)
        else:
            assert options.models_dir is not None
            config = models_config.from_folder(options.models_dir)
        configuring.start(self.manager, config, options.start_seconds, options.model_config_file)
        if options.model_config_file_poll_seconds is not None:
            pause = options.model_config_file_poll_seconds
            arguments = (self.manager, options.model_config_file, pause, self._closing.wait)
            threading.Thread(target=configuring.watch_file, args=arguments, name="config", daemon=True).start()
        self._open_grpc()
        if options.rest_port is not None:
            self._rest = RestServer(options, self.handlers, self._metrics)
            self.rest_address = self._rest.address
        if options.page_port is not None:
            assert self._open_page is not None  # see the constructor
            self._page = self._open_page(self._own_address(), lambda: list(self.manager.models()), options)
            self.page_address = self._page.address

    def _own_address(self) -> str:
        """Returns where this process reaches its gRPC port."""
        if self.options.host not in _EVERY_ADDRESS:
            return self.address
        return host_and_port(LOOPBACK, int(self.address.rpartition(":")[2]))

    def _open_grpc(self) -> None:
        options = self.options
        age = CONNECTION_SECONDS if options.max_connection_age_seconds is None else options.max_connection_age_seconds
        workers = options.limits.max_concurrent_requests + SPARE_THREADS
        self._grpc = grpc.server(
            ThreadPoolExecutor(workers, thread_name_prefix="grpc"),
            options=[
                ("grpc.max_receive_message_length", options.limits.max_message_bytes),
                ("grpc.max_send_message_length", _NO_LIMIT),
                ("grpc.so_reuseport", 0),  # a second server on the same port is an error, not a lottery
                ("grpc.max_connection_age_ms", round(age * 1000)),
                ("grpc.max_connection_age_grace_ms", round(CONNECTION_GRACE_SECONDS * 1000)),
                ("grpc.max_connection_idle_ms", round(IDLE_SECONDS * 1000)),
            ],
            maximum_concurrent_rpcs=workers * CALLS_PER_THREAD,
        )
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(PredictionService(self.handlers), self._grpc)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(self.handlers), self._grpc)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        files = (prediction_service_pb2.DESCRIPTOR, model_service_pb2.DESCRIPTOR)
        services = [service.full_name for file in files for service in file.services_by_name.values()]
        names = (*services, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._grpc)
        for name in (*HEALTH_NAMES, *names):
            self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        try:
            port = self._bind(self._grpc)
        except RuntimeError:  # gRPC's text names a variable of its own in place of a reason
            ports.check_one(options.host, options.port, "--port")
            raise CxrError(
                f"port {options.port} on {options.host} cannot be opened (gRPC refuses it); choose another with --port"
            ) from None
        self.address = host_and_port(options.host, port)
        self._grpc.start()

    def _bind(self, server: grpc.Server) -> int:
        address, tls = host_and_port(self.options.host, self.options.port), self.options.tls
        if tls is None:
            return server.add_insecure_port(address)
        pair = (tls.key.encode(), tls.certificate.encode())
        ca = tls.client_ca.encode() if tls.client_ca else None
        return server.add_secure_port(address, grpc.ssl_server_credentials([pair], ca, tls.client_verify))

    def stop(self, drain_seconds: float | None = None) -> None:
        """Closes the ports, finishes the requests already accepted and frees the models.

        Args:
          drain_seconds: how long those requests may take, the page's and what it asks for among them; None takes it from the options.
        """
        if self._closing.is_set():
            return
        self._closing.set()
        drain = self.options.drain_seconds if drain_seconds is None else drain_seconds
        end = time.monotonic() + drain
        self._health.enter_graceful_shutdown()
        rest = threading.Thread(target=self._rest.stop, args=(drain,), name="rest-stop") if self._rest else None
        if rest is not None:
            rest.start()  # all drain at the same time
        if self._page is not None:
            self._page.stop(drain)  # before gRPC, over which it asks
        left = max(end - time.monotonic(), 0.0)  # the process is ended soon after `drain`, with the log of requests or without
        ended = None if self._grpc is None else self._grpc.stop(left + COUNT_SECONDS)
        if ended is not None:
            unfinished = self.handlers.idle(left)
            log.log(logging.WARNING if unfinished else logging.INFO, "requests left unfinished after draining: %d", unfinished)
        if rest is not None:
            rest.join()
        if ended is not None:
            ended.wait()
        self._runner.stop()
        if self._log is not None:
            self._log.stop()
        self.manager.stop()
        log.info("stopped")

    def wait(self) -> None:
        """Returns when the gRPC server has ended."""
        if self._grpc is not None:
            self._grpc.wait_for_termination()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
