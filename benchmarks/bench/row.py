"""What a row of the table is: our side of a step, and others that do the same, or the least of it that nobody can do without."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple

from bench.data import Data

FLOOR = 0.5  # least ratio to the least of the work that nobody can do without: a step may take twice that


class Done(NamedTuple):
    """What one round of a side came to; `seconds`: where not all of its time counts, else None."""

    units: float
    seconds: float | None = None


Round = Callable[[], Done]


@dataclass(frozen=True)
class Side:
    """One way to do the work.

    Attributes:
      name: For people.
      make: Data, and a stack for what must be closed in the end -> does one round. What it does before is not measured.
      least: Of others: the ratio of our speed to theirs that we want at least; None: it is shown, nothing is wanted.
    """

    name: str
    make: Callable[[Data, ExitStack], Round]
    least: float | None = None


@dataclass(frozen=True)
class Row:
    """One step.

    Attributes:
      name: For `--rows` and files.
      about: One line on what is measured.
      unit: Of the speed, for people: "images/s".
      prepare: Makes what its sides read, before any of them starts.
      ours, others: The sides.
      warm_up: A round that is not measured comes first: without, what happens once only (tracing, loading) would count.
      most_rounds: Of a row whose rounds take minutes.
      by_default: Measured where no rows are named.
    """

    name: str
    about: str
    unit: str
    prepare: Callable[[Data], object]
    ours: Side
    others: tuple[Side, ...]
    warm_up: bool = True
    most_rounds: int | None = None
    by_default: bool = True

    @property
    def sides(self) -> tuple[Side, ...]:
        """All of them, ours first."""
        return (self.ours, *self.others)


def timed(work: Callable[[], object], units: float) -> Done:
    """Runs something once, as all of a round that counts."""
    began = time.perf_counter()
    work()
    return Done(units, time.perf_counter() - began)
