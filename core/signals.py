"""Signals reach the main thread, whichever thread the system hands them to, and whatever that thread is doing."""

from __future__ import annotations

import os
import signal
import threading
import time
from queue import SimpleQueue
from types import FrameType

_WAKE = signal.SIGURG  # the system drops it where nobody handles it; Go's runtime interrupts its threads with it
_AGAIN = 0.5  # seconds after which a thread that runs no Python yet is interrupted again


class _MainThread:
    """What interrupts the main thread of this process."""

    def __init__(self) -> None:
        self.process = 0  # that has been prepared; a forked one has not
        self._woken = False

    def prepare(self) -> None:
        readable, writable = os.pipe()
        os.set_blocking(writable, False)
        signal.signal(_WAKE, self._wake_up)
        signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
        threading.Thread(target=self._listen, args=(readable,), name="signals", daemon=True).start()
        self.process = os.getpid()

    def _wake_up(self, number: int, frame: FrameType | None) -> None:
        self._woken = True

    def _listen(self, readable: int) -> None:
        ident = threading.main_thread().ident
        assert ident is not None
        while True:
            if set(os.read(readable, 512)) == {_WAKE}:
                continue
            self._woken = False
            while not self._woken:
                signal.pthread_kill(ident, _WAKE)
                time.sleep(_AGAIN)


_main_thread = _MainThread()
os.register_at_fork(after_in_child=lambda: _main_thread.process and signal.set_wakeup_fd(-1))  # its signals are not its parent's


def reach_main_thread() -> None:
    """From now on a signal interrupts what the main thread waits for, in whichever thread it arrived.

    The system may hand a signal to any thread of a process. Python runs its handler in the main thread only, and does not wake that one:
    if it waits for a lock, for another thread or in a library, the handler runs when that is over, which may be never. Linux gives a
    signal to the main thread mostly, but not always: of some hundred servers told to end, one went on.

    Main thread only. A forked process asks anew.
    """
    if _main_thread.process != os.getpid():
        _main_thread.prepare()


def arrivals(*numbers: signal.Signals) -> SimpleQueue[int]:
    """Returns the queue into which the first of these signals comes; a second one ends the process at once. Main thread only.

    Of SIGHUP a second one does not, as a terminal that is closed may send several; and where it is ignored (nohup) it stays so.

    A handler runs between any two steps of the main thread, so also while that holds a lock: it must not take one, as an Event's `set`
    does. The queue's `put` takes none.
    """
    came: SimpleQueue[int] = SimpleQueue()

    def on_signal(number: int, frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN if each == signal.SIGHUP else signal.SIG_DFL)  # asked twice: no more patience
        came.put(number)

    reach_main_thread()
    for number in numbers:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, on_signal)
    return came
