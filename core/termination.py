"""SIGTERM, as clusters and service managers send it: it ends a command in the way of Ctrl-C, in seconds and with nothing half done."""

from __future__ import annotations

import multiprocessing
import os
import signal
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


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)  # asked twice: no more patience
    for process in multiprocessing.active_children():
        if process.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGINT)
    raise Terminated
