"""What a run of the benchmarks found, as a file; the ratios are made of it."""

from __future__ import annotations

import statistics
from typing import NamedTuple

from cxr.core.strict_model import StrictModel

REMEDY = "name a file that `make bench` of this release wrote"


class Spread(NamedTuple):
    """Several measurements of the same."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """Sums values up."""
        return cls(statistics.median(values), min(values), max(values))


class SideResult(StrictModel):
    """Of one side of a row."""

    name: str
    rates: tuple[float, ...]  # units a second, round by round
    peak_memory: int  # bytes, of the process and all that it started, in the worst round
    least: float | None = None  # see `row.Side`


class RowResult(StrictModel):
    """Of one row. The sides took turns: the same places of `rates` are of the same time."""

    about: str
    unit: str
    ours: SideResult
    others: tuple[SideResult, ...]

    def speed(self, other: SideResult) -> Spread:
        """How many times as fast as another side ours was, round by round; more than 1: ours is the faster."""
        return Spread.of([ours / theirs for ours, theirs in zip(self.ours.rates, other.rates, strict=True)])

    def memory(self, other: SideResult) -> float:
        """How many times the memory of another side ours took."""
        return self.ours.peak_memory / other.peak_memory


class Machine(StrictModel):
    """What it was measured on, without names and paths."""

    cores: int
    cpu: str
    memory_gib: float
    busy: float  # share of all cores that others took before anything began
    python: str
    versions: dict[str, str]
    commit: str  # ends in "+" where files differed from it; empty: no checkout
    began: str  # UTC


class Measured(StrictModel):
    """One run."""

    machine: Machine
    images: str  # what kind
    count: int  # of them, in the rows that do not say otherwise
    rounds: int
    rows: dict[str, RowResult] = {}
    failed: tuple[str, ...] = ()  # rows; why was told when it happened, and may name paths
