"""A server as a process: says when it is ready, runs until SIGTERM or Ctrl-C, drains, ends."""

import gc
import json
import logging
import os
import signal
import sys
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING

from cxr.core import imports
from cxr.core.signals import arrivals
from cxr.core.silence import silenced
from cxr.core.termination import ending_with_parent
from cxr.core.visible import log_to_stderr
from cxr.serving.server.options import ServerOptions
from cxr.serving.server.tensorflow_log import leave_warnings_out

if TYPE_CHECKING:
    from cxr.serving.server.app import OpenPage
    from cxr.serving.server.manager import Manager

GRACE_SECONDS = 10.0  # after draining, for batches and sessions to end


def serve(options: ServerOptions, open_page: "OpenPage | None" = None, *, as_json: bool = False) -> None:
    """Runs a server in this process until SIGTERM, SIGINT or SIGHUP; a second signal ends it at once.

    Prints one line on stdout when it answers: `listening on HOST:PORT …`, or with `as_json` an object with `address`, `rest_address`
    and `page_address`.

    Args:
      options: the server.
      open_page: as of `app.Server`.
      as_json: for scripts.

    Raises:
      CxrError: a model does not load, or a port is in use.
      ValueError: a page's port and no page.
    """
    log_to_stderr()
    came = arrivals(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    leave_warnings_out()
    leave_keras_out()
    with imports.uncollected(), silenced():
        from cxr.serving.server.app import Server

    server = Server(options, open_page)
    asked = threading.Event()
    threading.Thread(target=_obey, args=(came, asked, server.manager), daemon=True).start()
    try:
        server.open()
        gc.collect()
        gc.freeze()  # TensorFlow's million objects stay; looking through them again and again would cost pauses of 0.2 s
        if as_json:
            print(json.dumps({name: getattr(server, name) for name in ("address", "rest_address", "page_address")}), flush=True)
        else:
            rest = f", REST on {server.rest_address}" if server.rest_address else ""
            rest += f", page on http://{server.page_address}/" if server.page_address else ""
            names = ", ".join(sorted(server.manager.models()))
            print(f"listening on {server.address}{rest} (models: {names})", flush=True)
        asked.wait()
        logging.getLogger(__name__).info("draining for up to %g s", options.drain_seconds)
        _end_after(options.drain_seconds + GRACE_SECONDS)
    except BaseException:
        if not asked.is_set():
            raise
    finally:
        server.stop()


def _end_after(seconds: float) -> None:
    """Ends the process in any case: an operation that never returns must not keep it."""
    timer = threading.Timer(seconds, os._exit, (1,))
    timer.daemon = True
    timer.start()


def _obey(came: "SimpleQueue[int]", asked: threading.Event, manager: "Manager") -> None:
    came.get()
    asked.set()
    manager.interrupt()  # a start that waits for models gives up


def leave_keras_out() -> None:
    """Keeps `import tensorflow` from importing Keras, which no server needs: four seconds less until it is ready.

    Works only before TensorFlow's first import in a process; TensorFlow takes a missing Keras calmly.
    """
    if "tensorflow" not in sys.modules:
        os.environ.pop("TF_USE_LEGACY_KERAS", None)  # tensorflow_transform sets it, and processes inherit it
        sys.modules.setdefault("keras.src.optimizers", None)  # type: ignore[arg-type]


def main() -> None:
    """Runs the server that stdin describes (ServerOptions as JSON), for `process.run_server`; it has no page."""
    from cxr.core.errors import CxrError

    with ending_with_parent(signal.SIGTERM):  # killed, it could not say that it ends
        try:
            serve(ServerOptions.model_validate_json(sys.stdin.read()), as_json=True)
        except CxrError as error:
            sys.exit(str(error))
