"""The process of one side: makes itself ready, then does a round whenever it is told to."""

from __future__ import annotations

import os
import time
import traceback
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from bench.data import Data
from bench.row import Row
from cxr.core.termination import end_with_parent


class Told(NamedTuple):
    """What a process tells: the speed of a round (0: of none), or why there is none."""

    rate: float = 0.0
    error: str = ""


def prepare(row: Row, data: Data, log: Path, pipe: Connection) -> None:
    """Makes what the sides of a row read, and tells when it is there."""
    _quiet(log)
    try:
        row.prepare(data)
        pipe.send(Told())
    except Exception as error:
        _tell(error, pipe)


def serve(row: Row, number: int, data: Data, log: Path, pipe: Connection) -> None:
    """Does rounds of a side until the pipe is closed; the first answer comes when it is ready, warm-up behind it.

    Args:
      row: The row.
      number: Of the side.
      data: What it reads.
      log: Where its output goes.
      pipe: True: do a round.
    """
    _quiet(log)
    try:
        with ExitStack() as stack:
            work = row.sides[number].make(data, stack)
            if row.warm_up:
                work()
            pipe.send(Told())
            while pipe.recv():
                began = time.perf_counter()
                done = work()
                pipe.send(Told(done.units / (done.seconds or time.perf_counter() - began)))
    except EOFError:  # nobody listens any more
        pass
    except Exception as error:
        _tell(error, pipe)


def _tell(error: Exception, pipe: Connection) -> None:
    traceback.print_exc()
    pipe.send(Told(error=str(error).strip().partition("\n")[0] or type(error).__name__))


def _quiet(log: Path) -> None:
    end_with_parent()
    file = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.close(file)
