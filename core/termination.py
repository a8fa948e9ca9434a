"""The end of processes: SIGTERM, as clusters send it, and SIGHUP, of a closed terminal, end a command as Ctrl-C does; none is left behind.

Nothing is half done then, and no process outlives its parent.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from cxr.core.signals import reach_main_thread

_AGAIN = 0.1  # seconds after which a signal that was lost is raised again
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_CURSOR = b"\x1b[?25h"  # a terminal shows it
_LOOK = 0.5  # seconds between two looks for the parent


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP came: whatever cleans up after Ctrl-C does so after this as well."""

    def __init__(self, number: int = signal.SIGTERM) -> None:
        """Takes the signal."""
        super().__init__()
        self.signal = signal.Signals(number)
        self.unless_heard: weakref.finalize | None = None


class _Heard:
    """Attributes: number, of the signal that has told this process to end; None: none has."""

    number: signal.Signals | None = None


_heard = _Heard()


def told_to_end() -> signal.Signals | None:
    """Returns the signal that has told this process to end since `raise_on_signals`, None where none has.

    A library may make any error of what it raised, Beam a RuntimeError that holds nothing of it but its name.
    """
    return _heard.number


def raise_on_signals() -> None:
    """From now on SIGTERM and SIGHUP are raised as `raise_on_termination` says, and Ctrl-C as Python does it.

    A second Ctrl-C ends the process at once. Where Python prints an error and goes on, in a destructor say, it is raised again, and
    nothing is printed. Main thread only.
    """
    _heard.number = None
    raise_on_termination()
    if callable(signal.getsignal(signal.SIGINT)):  # else it is ignored, as a shell starts what goes into the background
        signal.signal(signal.SIGINT, _on_sigint)
    sys.unraisablehook = _on_unraisable


def raise_on_termination() -> None:
    """From now on SIGTERM and SIGHUP raise `Terminated` in the main thread; a SIGTERM after that ends the process at once.

    A SIGHUP after it does not: a terminal that is closed may send several, and nobody is impatient. One that is ignored (nohup) stays so.

    Processes that this one started through multiprocessing are interrupted with it, as a terminal does with Ctrl-C. Main thread only.

    A signal comes between any two steps of Python, so also where an error goes no further: in a callback of the import system, in code
    that forgets every error. So one that nobody asked about (`caused`) before it was gone is raised again.
    """
    reach_main_thread()
    for number in _SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _on_signal)


def cause(error: BaseException | None) -> signal.Signals | None:
    """Returns the signal that an error goes back to: typer makes an exit of it, Python itself a RuntimeError in some places.

    From then on it is known, and not raised again.
    """
    while error is not None:
        if isinstance(error, Terminated):
            if error.unless_heard is not None:
                error.unless_heard.detach()
            return error.signal
        error = error.__cause__ or error.__context__
    return None


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


def _on_signal(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # asked twice: no more patience
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _heard.number = signal.Signals(number)
    for process in multiprocessing.active_children():
        if process.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGINT)
    raise _terminated(number)  # held by no variable of this frame, which the error holds: it is gone where nothing else holds it


def _on_sigint(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)  # what it interrupts in the midst of cleaning up would end in tracebacks
    _heard.number = signal.Signals(number)
    if os.isatty(2):
        os.write(2, _CURSOR)  # a progress bar has hidden it, and may not come to show it again
    raise KeyboardInterrupt


def _on_unraisable(lost: sys.UnraisableHookArgs) -> None:
    if not isinstance(lost.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(lost)
    elif not isinstance(lost.exc_value, Terminated):  # which sees to that itself
        _again(signal.SIGINT, _on_sigint)


def _terminated(number: int) -> Terminated:
    error = Terminated(number)
    error.unless_heard = weakref.finalize(error, _raise_again, error.signal)
    error.unless_heard.atexit = False
    return error


def _raise_again(number: signal.Signals) -> None:
    _again(number, _on_signal)


def _again(number: signal.Signals, handler: Callable[[int, FrameType | None], None]) -> None:
    if threading.current_thread() is not threading.main_thread():
        return  # only there can the signal be handled
    signal.signal(number, handler)
    again = threading.Timer(_AGAIN, os.kill, (os.getpid(), number))  # not here: this may be such a place still
    again.daemon = True
    again.start()
