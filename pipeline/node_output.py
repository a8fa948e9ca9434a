"""Marks each line that a node's process writes with the node's name: several write into a run's log at once."""

from __future__ import annotations

import os
import threading
from contextlib import suppress

_CHUNK = 1 << 16  # bytes read at once
_LONGEST = 1 << 20  # bytes of a line; a longer one is cut


class MarkedOutput:
    """A pipe whose lines come out of a file descriptor with a prefix, whole lines at a time.

    Attributes:
      write: File descriptor of the end that the process writes to.
    """

    def __init__(self, name: str, to: int) -> None:
        """Opens the pipe.

        Args:
          name: What the lines are marked with.
          to: File descriptor, of a file opened to append or of a terminal; a copy of it is kept.
        """
        self._prefix = f"[{name}] ".encode()
        self._to = os.dup(to)
        self._read, self.write = os.pipe()
        self._thread = threading.Thread(target=self._copy, name=f"output of {name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Closes our copy of that end, once the process has its own."""
        os.close(self.write)

    def wait(self, seconds: float) -> None:
        """Waits until all that was written has come out; no longer than `seconds`, as a process that is left over may keep the pipe."""
        self._thread.join(seconds)

    def _copy(self) -> None:
        rest = b""
        while chunk := os.read(self._read, _CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _LONGEST:
                lines, rest = [*lines, rest], b""
            self._put(lines)
        self._put([rest] if rest else [])
        os.close(self._read)
        os.close(self._to)

    def _put(self, lines: list[bytes]) -> None:
        """Writes lines in one go, so that no other process's come between them.

        Those that the log does not take, whose disk is full, are lost: a pipe that nobody empties would hold the process for ever.
        """
        left = b"".join(self._prefix + line + b"\n" for line in lines)
        with suppress(OSError):
            while left:
                left = left[os.write(self._to, left) :]
