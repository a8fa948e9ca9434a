"""Has the sides of a row take turns: A B C, C B A, A B C, each in a process of its own that lives as long as the row.

What disturbs the machine meets all sides then, what is made ready once is not measured, and each side's memory is its own.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
from peak_memory import Watch

from bench.data import Data
from bench.results import RowResult, SideResult
from bench.row import Row
from bench.worker import Told, prepare, serve
from cxr.core.errors import CxrError
from cxr.core.silence import silenced

_SPAWN = multiprocessing.get_context("spawn")  # forked, a side would begin with the memory and the threads of the one who measures
_PATIENCE = 10  # seconds that a process gets to end by itself


def measure(row: Row, data: Data, rounds: int, tell: Callable[[str], None] = lambda text: None) -> RowResult:
    """Measures a row.

    Args:
      row: The row.
      data: Where what its sides read is, or will be.
      rounds: Of each side; `row.most_rounds` bounds them.
      tell: Is told what is being done.

    Raises:
      CxrError: A side failed; the text has the first line of its error, and names the log.
    """
    rounds = min(rounds, row.most_rounds or rounds)
    rates: dict[int, list[float]] = {number: [] for number in range(len(row.sides))}
    peaks = dict.fromkeys(rates, 0)
    logs = data.folder / "logs"
    logs.mkdir(exist_ok=True)
    tell("preparing")
    with _process(prepare, logs / f"{row.name}.log", row, data) as (_, pipe):
        _answer(pipe, row.name, logs)
    with ExitStack() as stack:
        sides = {}
        for number, side in enumerate(row.sides):
            tell(f"{side.name}: getting ready")
            process, pipe = sides[number] = stack.enter_context(_process(serve, logs / f"{row.name}-{number}.log", row, number, data))
            with Watch(process) as watch:
                _answer(pipe, f"{row.name}, {side.name}", logs)
            peaks[number] = watch.peak
        for turn in range(rounds):
            for number in list(rates)[:: -1 if turn % 2 else 1]:  # none always comes first
                tell(f"round {turn + 1} of {rounds}: {row.sides[number].name}")
                process, pipe = sides[number]
                with Watch(process) as watch:
                    pipe.send(True)
                    rates[number].append(_answer(pipe, f"{row.name}, {row.sides[number].name}", logs))
                peaks[number] = max(peaks[number], watch.peak)
    ours, *others = (
        SideResult(name=side.name, rates=tuple(rates[number]), peak_memory=peaks[number], least=side.least)
        for number, side in enumerate(row.sides)
    )
    return RowResult(about=row.about, unit=row.unit, ours=ours, others=tuple(others))


@contextmanager
def _process(target: Callable[..., None], log: Path, row: Row, *arguments: Any) -> Iterator[tuple[int, Connection]]:
    """Runs a function of worker.py in a process; yields its id and the pipe to it."""
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=target, args=(row, *arguments, log, theirs), name=log.stem)
    with silenced():  # what libraries say while the arguments are unpickled, before the log is open
        process.start()
    theirs.close()  # so that its end is seen
    assert process.pid is not None
    try:
        yield process.pid, ours
    finally:
        ours.close()
        process.join(_PATIENCE)
        if process.is_alive():
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
            process.join()


def _answer(pipe: Connection, who: str, logs: Path) -> float:
    try:
        told: Told = pipe.recv()
    except EOFError:
        raise CxrError(f"{who}: its process ended; --keep keeps the logs") from None
    if told.error:
        raise CxrError(f"{who}: {told.error}; --keep keeps the logs")
    return told.rate
