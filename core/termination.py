"""The end of processes: SIGTERM, as clusters send it, ends a command as Ctrl-C does, with nothing half done; none outlives its parent."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from cxr.core.signals import reach_main_thread

_AGAIN = 0.1  # seconds after which a SIGTERM that was lost is raised again
_LOOK = 0.5  # seconds between two looks for the parent


class Terminated(KeyboardInterrupt):
    """SIGTERM came: whatever cleans up after Ctrl-C does so after this as well."""

    unless_heard: weakref.finalize | None = None


def raise_on_sigterm() -> None:
    """From now on SIGTERM raises `Terminated` in the main thread; a second one ends the process at once.

    Processes that this one started through multiprocessing are interrupted with it, as a terminal does with Ctrl-C. Main thread only.

    A signal comes between any two steps of Python, so also where an error goes no further: in a callback of the import system, in code
    that forgets every error. So one that nobody asked about (`caused`) before it was gone is raised again.
    """
    reach_main_thread()
    signal.signal(signal.SIGTERM, _on_sigterm)


def caused(error: BaseException | None) -> bool:
    """Tells whether SIGTERM is what an error goes back to: typer makes an exit of it, Python itself a RuntimeError in some places.

    From then on it is known, and not raised again.
    """
    while error is not None:
        if isinstance(error, Terminated):
            if error.unless_heard is not None:
                error.unless_heard.detach()
            return True
        error = error.__cause__ or error.__context__
    return False


def end_with_parent() -> None:
    """From now on this process, which multiprocessing started, ends as soon as its parent is gone, killed too: nothing works on alone."""
    threading.Thread(target=_await_parent, name="parent", daemon=True).start()


@contextmanager
def ending_with_parent(number: int = signal.SIGKILL) -> Iterator[None]:
    """While the block runs this process, however it was started, ends as soon as its parent is gone; then no thread of it is left.

    Args:
      number: The signal that ends it.
    """
    parent, over = os.getppid(), threading.Event()

    def watch() -> None:
        while not over.wait(_LOOK):
            if os.getppid() != parent:
                os.kill(os.getpid(), number)
                return

    thread = threading.Thread(target=watch, name="parent", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


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
    raise _terminated()  # held by no variable of this frame, which the error holds: it is gone where nothing else holds it


def _terminated() -> Terminated:
    error = Terminated()
    error.unless_heard = weakref.finalize(error, _raise_again)
    error.unless_heard.atexit = False
    return error


def _raise_again() -> None:
    if threading.current_thread() is not threading.main_thread():
        return  # only there can the signal be handled
    signal.signal(signal.SIGTERM, _on_sigterm)
    again = threading.Timer(_AGAIN, os.kill, (os.getpid(), signal.SIGTERM))  # not here: this may be such a place still
    again.daemon = True
    again.start()
