"""The page on a port of its own, beside an embedded server or by itself."""

from __future__ import annotations

import json
import logging
import signal
import warnings
from collections.abc import Callable, Iterable, Sequence

from cxr.core.signals import arrivals
from cxr.serving.defaults import LOOPBACK, PAGE_PORT
from cxr.serving.page.app import make_app
from cxr.serving.page.guard import Guard
from cxr.serving.page.served import Served
from cxr.serving.server.http_server import HttpServer
from cxr.serving.server.options import Limits, Rest, ServerOptions

STOP_SECONDS = 5.0  # for answers under way, at most


class Page:
    """A page that answers.

    Attributes:
      address: "host:port".
      url: to type into a browser.
    """

    def __init__(
        self,
        served: Served,
        host: str = LOOPBACK,
        port: int = PAGE_PORT,
        *,
        allowed_hosts: Iterable[str] = (),
        limits: Limits | None = None,
        rest: Rest | None = None,
        option: str = "--port",
    ):
        """Opens the port.

        Args:
          served: the models; closed with the page.
          host: address to listen on.
          port: 0 takes a free one.
          allowed_hosts: names that browsers may know the page by, beside localhost, `host` and addresses.
          limits: of a file, as of an embedded server's requests.
          rest: what one client may cost.
          option: of the command line, that names the port: for errors.

        Raises:
          CxrError: the port cannot be opened.
        """
        limits, rest = limits or Limits(), rest or Rest()
        _keep_quiet()
        self._served = served
        app = Guard(make_app(served, limits, rest.body_seconds), (host, *allowed_hosts))
        self._server = HttpServer(app, host, port, rest, option)
        self.address = self._server.address
        self.url = f"http://{self.address}/"

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Closes the port and waits up to `seconds`, and no longer than STOP_SECONDS, for answers under way."""
        self._server.stop(min(seconds, STOP_SECONDS))
        self._served.close()

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


def beside(address: str, names: Callable[[], Sequence[str]], options: ServerOptions) -> Page:
    """Opens the page of an embedded server, which it asks over gRPC as every client does.

    Args:
      address: host:port of the server's gRPC.
      names: gives its models.
      options: the server's, with a `page_port`.

    Raises:
      CxrError: that port cannot be opened.
    """
    assert options.page_port is not None
    served = Served(address, names)
    return Page(served, port=options.page_port, limits=options.limits, rest=options.rest, option="--page-port")


def run_until_signal(page: Page, as_json: bool) -> None:
    """Says where the page is, on stdout, and waits for SIGTERM, Ctrl-C or the end of the terminal."""
    came = arrivals(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    print(json.dumps({"address": page.address, "url": page.url}) if as_json else f"page on {page.url}", flush=True)
    came.get()


def _keep_quiet() -> None:
    """Keeps remarks of pydicom and Pillow out of terminal and log: they quote headers. What matters of them comes back as an error."""
    warnings.simplefilter("ignore")
    for library in ("pydicom", "PIL"):
        logging.getLogger(library).setLevel(logging.CRITICAL + 1)
