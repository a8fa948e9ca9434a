"""What a fuzz target is, and what it may do with an input: refuse it with an error of the project, in bounded time and memory."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import FrameType

MEGABYTE = 2**20


@dataclass(frozen=True)
class Target:
    """One way for a stranger's bytes into the project.

    Attributes:
      run: Takes an input. Returns where it was read or refused with an error of the project, and raises whatever else happens.
      seeds: Small good inputs, made by code.
      make: A structure-aware input: well-formed where chance leaves it so, with odd values in its fields.
      seconds: That an input may take.
      megabytes: Of memory that an input may take beside what the process had.
    """

    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    make: Callable[[Random], bytes] | None = None
    seconds: float = 5.0
    megabytes: int = 256


class TooSlow(BaseException):
    """The time is over. No Exception: what a reader catches must not hide it."""


class TooLarge(BaseException):
    """An input took more memory than it may."""


def attempt(target: Target, data: bytes) -> int:
    """Gives an input to a target; returns the bytes of memory that it took at its peak.

    Raises:
      TooSlow, TooLarge: it took more than it may.
      Exception: any but an error of the project.
    """
    before, begin = resident("VmRSS", reset=True), time.monotonic()
    with _limited(target.seconds):
        target.run(data)
    if (seconds := time.monotonic() - begin) > target.seconds:  # of C code, which no signal interrupts
        raise TooSlow(f"{seconds:.1f} s")
    taken = resident("VmHWM") - before
    if taken > target.megabytes * MEGABYTE:
        raise TooLarge(f"{taken / MEGABYTE:.0f} MB")
    return taken


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    def over(number: int, frame: FrameType | None) -> None:
        raise TooSlow(f"more than {seconds:g} s")

    previous = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def resident(field: str, *, reset: bool = False) -> int:
    """Returns a figure of this process's memory, bytes; `reset` lets the peak (VmHWM) begin anew."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")  # the kernel's number for the peak alone
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{field}:")[2].split(maxsplit=1)[0]) * 1024
