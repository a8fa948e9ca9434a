"""Rows of `make bench` that take no time: what tests of its runner measure."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.data import Data
from bench.row import Done, Round, Row, Side


def turns(data: Data, stack: ExitStack, letter: str = "a", rate: float = 1.0) -> Round:
    """A side that writes down whenever it is its turn."""
    stack.callback(lambda: _write(data.folder, f"{letter} closed"))

    def work() -> Done:
        _write(data.folder, letter)
        return Done(rate, 1.0)

    return work


def failing(data: Data, stack: ExitStack) -> Round:
    """A side that cannot be made ready."""
    raise ValueError("no such thing\nand more of it")


def ending(data: Data, stack: ExitStack) -> Round:
    """A side that is killed."""
    os._exit(9)


def row(*sides: Any, **settings: Any) -> Row:
    """Makes a row of functions, ours first."""
    ours, *others = (Side(f"side {number}", make, 1.0) for number, make in enumerate(sides))
    return Row("made-up", "nothing", "rounds/s", _nothing, ours, tuple(others), **settings)


def _nothing(data: Data) -> None:
    pass


def _write(folder: Path, text: str) -> None:
    with (folder / "turns").open("a") as stream:
        stream.write(f"{text}\n")
