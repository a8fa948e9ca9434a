"""REST on a port of its own, with gRPC's TLS."""

from cxr.serving.server.http_server import HttpServer
from cxr.serving.server.metrics import Metrics
from cxr.serving.server.options import ServerOptions
from cxr.serving.server.rest_app import RestApp
from cxr.serving.server.services import Handlers


class RestServer:
    """The application and the HTTP server that it runs in.

    Attributes:
      address: "host:port".
    """

    def __init__(self, options: ServerOptions, handlers: Handlers, metrics: Metrics):
        """Opens the port `options.rest_port` and starts answering; see HttpServer for errors."""
        assert options.rest_port is not None
        self._app = RestApp(handlers, metrics, options.limits, options.rest)
        self._server = HttpServer(self._app, options.host, options.rest_port, options.rest, "--rest-port", options.tls)
        self.address = self._server.address

    def stop(self, seconds: float) -> None:
        """Closes the port and waits up to `seconds` for the requests already accepted."""
        self._server.stop(seconds)
        self._app.close()
