"""Whether a server's ports can be opened, known before it loads a model: that may take minutes."""

import errno
import socket

from cxr.core.errors import CxrError, UsageError
from cxr.serving.defaults import LOOPBACK
from cxr.serving.server.options import ServerOptions

_NO_SUCH_HOST = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def check(options: ServerOptions) -> None:
    """Binds each address once and lets go of it.

    Raises:
      UsageError: the host is none of this machine, or one port is named twice.
      CxrError: a port is in use, or this user may not have it.
    """
    wanted = [(options.host, options.port, "--port")]
    if options.rest_port is not None:
        wanted.append((options.host, options.rest_port, "--rest-port"))
    if options.page_port is not None:
        wanted.append((LOOPBACK, options.page_port, "--page-port"))
    named: dict[int, str] = {}
    for host, port, option in wanted:
        if port and port in named:
            raise UsageError(f"{option} {port}: is that of {named[port]}, too; choose another")
        named[port] = option
        check_one(host, port, option)


def check_one(host: str, port: int, option: str) -> None:
    """Binds one address; `option` names the port on the command line. Raises as `check`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of a server that has just ended are no obstacle
            trial.bind((host, port))
    except OSError as error:
        if isinstance(error, socket.gaierror) or error.errno in _NO_SUCH_HOST:
            remedy = f"name one: {LOOPBACK}, or 0.0.0.0 for all"
            raise UsageError(f"--host {host}: is no address of this machine ({error.strerror}); {remedy}") from None
        raise CxrError(f"port {port} on {host} cannot be opened ({error.strerror}); choose another with {option}") from None
