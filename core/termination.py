"""The end of processes: SIGTERM, as clusters send it, ends a command as Ctrl-C does, with nothing half done; none outlives its parent."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from contextlib import suppress
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM came: whatever cleans up after Ctrl-C does so after this as well."""


def raise_on_sigterm() -> None:
    """From now on SIGTERM raises `Terminated` in the main thread; a second one ends the process at once.

    Processes that this one started through multiprocessing are interrupted with it, as a terminal does with Ctrl-C. Main thread only.
    """
    signal.signal(signal.SIGTERM, _on_sigterm)


def caused(error: BaseException | None) -> bool:
    """Tells whether SIGTERM is what an error goes back to: typer makes an exit of it."""
    while error is not None:
        if isinstance(error, Terminated):
            return True
        error = error.__cause__ or error.__context__
    return False


def end_with_parent() -> None:
    """From now on this process, which multiprocessing started, ends as soon as its parent is gone, killed too: nothing works on alone."""
    threading.Thread(target=_await_parent, name="parent", daemon=True).start()


def _await_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)  # asked twice: no more patience
    for process in multiprocessing.active_children():
        if process.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGINT)
    raise Terminated
