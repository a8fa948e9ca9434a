"""Peak memory of a process and all its descendants: of its whole life, or while a block runs."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from types import TracebackType

import psutil


class Watch:
    """Looks 20 times a second while its block runs. Pages that processes share count once for each, so what it finds is an upper bound."""

    def __init__(self, process: int) -> None:
        """Begins nothing yet.

        Args:
          process: Id of the process.
        """
        self.peak = 0  # bytes, of the resident sizes together
        self._family, self._ended = psutil.Process(process), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak-memory", daemon=True)

    def __enter__(self) -> Watch:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.05):
            self._look()

    def _look(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            self.peak = max(self.peak, sum(member.memory_info().rss for member in [self._family, *self._family.children(recursive=True)]))


def wait(process: subprocess.Popen) -> int:
    """Waits for a process to end; returns its peak, in bytes, as `Watch` has it."""
    with Watch(process.pid) as watch:
        process.wait()
    return watch.peak
