"""A server as a process: says when it is ready, runs until SIGTERM or Ctrl-C, drains, ends."""

import gc
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING

from cxr.core import imports
from cxr.core.errors import CxrError
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
_RECEIVING = "(_serve)"  # ends the name of gRPC's thread: threading names one by its function
_LOST = (
    "gRPC cannot take requests any more, most likely for want of memory (see above): the server ends, start it again. "
    "--max-message-mb and --max-concurrent-requests let fewer bytes in; or give it more memory (ulimit -v, a container's limit)"
)


def serve(options: ServerOptions, open_page: "OpenPage | None" = None, *, as_json: bool = False) -> None:
    """Runs a server in this process until SIGTERM, SIGINT or SIGHUP; a second signal ends it at once.

    Prints one line on stdout when it answers: `listening on HOST:PORT …`, or with `as_json` an object with `address`, `rest_address`
    and `page_address`.

    Args:
      options: the server.
      open_page: as of `app.Server`.
      as_json: for scripts.

    Raises:
      CxrError: a model does not load, a port is in use, or the memory does not suffice for a request.
      ValueError: a page's port and no page.
    """
    log_to_stderr()
    came = arrivals(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    leave_warnings_out()
    logging.getLogger("tensorflow").setLevel(logging.WARNING)  # it remarks on files of variables; versions.py says what is loaded
    leave_keras_out()
    with imports.uncollected(), silenced():
        import tensorflow as tf

        from cxr.serving.server.app import Server

        tf.config.list_physical_devices("GPU")  # TensorFlow calls it an error that there is none, when it looks first

    server = Server(options, open_page)
    asked, lost = threading.Event(), threading.Event()
    threading.Thread(target=_obey, args=(came, asked, server.manager), daemon=True).start()
    threading.excepthook = _Unhandled(threading.excepthook, asked, lost)
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
        if lost.is_set():
            _end_after(GRACE_SECONDS)  # nothing that came over gRPC can be answered any more
            raise CxrError(_LOST)
        logging.getLogger(__name__).info("draining for up to %g s", options.drain_seconds)
        _end_after(options.drain_seconds + GRACE_SECONDS)
    except BaseException:
        if lost.is_set() or not asked.is_set():
            raise
    finally:
        server.stop()


class _Unhandled:
    """An exception hook of threads: gRPC takes requests from the network in one of its own, and with it all answers end, without a word.

    A message that does not fit into the memory does that.
    """

    def __init__(self, others: Callable[[threading.ExceptHookArgs], object], asked: threading.Event, lost: threading.Event) -> None:
        """Takes the hook for other threads, and what to set: that the server is to end, and why."""
        self._others, self._asked, self._lost = others, asked, lost

    def __call__(self, found: threading.ExceptHookArgs) -> None:
        self._others(found)
        if found.thread is not None and found.thread.name.endswith(_RECEIVING):
            logging.getLogger(__name__).error("%s", _LOST)  # at once: ending may take its time
            self._lost.set()
            self._asked.set()


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
    with ending_with_parent(signal.SIGTERM):  # killed, it could not say that it ends
        try:
            serve(ServerOptions.model_validate_json(sys.stdin.read()), as_json=True)
        except CxrError as error:
            sys.exit(str(error))
