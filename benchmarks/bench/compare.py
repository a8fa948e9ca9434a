"""`make bench-compare OLD=file.json`: what has become of the ratios since.

Speeds are not compared, since machines differ and are busy; each row's ratio to another side is, which was measured at the same time.
A row is worse where its median ratio fell by more than a tenth, and all its rounds lie below all the old ones (the ranges do not meet);
or where its memory, beside that of the other side, grew by more than 15 %.

usage: python -m bench.compare OLD [NEW]       NEW: the newest of workspace/bench, where not given
exit codes: 0 nothing is worse, 3 something is, 1 and 2 as of cxr
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rich.table import Table

from bench import KEPT
from bench.results import REMEDY, Measured, RowResult, SideResult, Spread
from cxr.core import exit_codes
from cxr.core.console import Console
from cxr.core.errors import CxrError, UsageError

LEAST_FALL = 0.1  # share; three rounds that all came out below three others prove little by themselves
MOST_MEMORY = 1.15


class Change(NamedTuple):
    """What became of a row's ratio to one other side."""

    row: str
    other: str
    old: Spread
    new: Spread
    memory: float  # ratio of the ratios of memory

    @property
    def speed(self) -> float:
        """Ratio of the median ratios."""
        return self.new.median / self.old.median

    @property
    def verdict(self) -> str:
        """Says what is worse, or better; empty: neither."""
        found = {
            "slower": self.slower,
            "faster": 1 / self.speed < 1 - LEAST_FALL and self.new.low > self.old.high,
            "more memory": self.larger,
        }
        return ", ".join(word for word, holds in found.items() if holds)

    @property
    def slower(self) -> bool:
        """Whether the median fell, and no new round reaches an old one."""
        return self.speed < 1 - LEAST_FALL and self.new.high < self.old.low

    @property
    def larger(self) -> bool:
        """Whether it takes more memory."""
        return self.memory > MOST_MEMORY

    @property
    def worse(self) -> bool:
        """Tells whether it is to be looked at."""
        return self.slower or self.larger


def changes(old: Measured, new: Measured) -> Iterator[Change]:
    """Yields the changes of all that both runs measured."""
    for name, row in new.rows.items():
        before = old.rows.get(name)
        for other, other_before in _pairs(before, row) if before else ():
            assert before is not None
            yield Change(name, other.name, before.speed(other_before), row.speed(other), row.memory(other) / before.memory(other_before))


def _pairs(before: RowResult, row: RowResult) -> Iterator[tuple[SideResult, SideResult]]:
    known = {other.name: other for other in before.others}
    return ((other, known[other.name]) for other in row.others if other.name in known)


def differences(old: Measured, new: Measured) -> list[str]:
    """Returns what makes the two hard to compare."""
    found = [
        f"{name}: {getattr(old.machine, name)} then, {getattr(new.machine, name)} now"
        for name in ("cores", "cpu", "memory_gib")
        if getattr(old.machine, name) != getattr(new.machine, name)
    ]
    if (old.images, old.count) != (new.images, new.count):
        found.append(f"images: {old.count} ({old.images}) then, {new.count} ({new.images}) now")
    versions = old.machine.versions, new.machine.versions
    found += [
        f"{name}: {versions[0].get(name)} then, {found_now} now"
        for name, found_now in versions[1].items()
        if versions[0].get(name) != found_now
    ]
    missing = [*(name for name in old.rows if name not in new.rows), *(name for name in new.rows if name not in old.rows)]
    return found + ([f"not in both: {', '.join(missing)}"] if missing else [])


def table(found: list[Change]) -> Table:
    """Makes the table."""
    made = Table(title="ratios then and now; medians, and the range of the rounds", title_justify="left")
    for number, heading in enumerate(("row", "beside", "then", "now", "now / then", "memory", "verdict")):
        made.add_column(heading, justify="left" if number in (0, 1, 6) else "right")
    for change in found:
        spreads = (f"{one.median:.2f} ({one.low:.2f} to {one.high:.2f})" for one in (change.old, change.new))
        made.add_row(change.row, change.other, *spreads, f"{change.speed:.2f}", f"{change.memory:.2f}", change.verdict)
    return made


def newest(folder: Path) -> Path:
    """Returns the last file that `make bench` kept.

    Raises:
      UsageError: There is none.
    """
    if not (files := sorted(folder.glob("*.json"))):
        raise UsageError(f"{folder}: holds no results; `make bench` makes some")
    return files[-1]


def main() -> None:
    """Prints the comparison; the exit code says how it came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage=argparse.SUPPRESS)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path, nargs="?")
    given = parser.parse_args()
    console = Console()
    if not console.is_terminal:
        console.width = 160
    try:
        old, new = (Measured.read(file, REMEDY) for file in (given.old, given.new or newest(KEPT)))
    except CxrError as error:
        Console(stderr=True).print(f"error: {error}", style="red", highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    found = list(changes(old, new))
    console.print(table(found))
    for text in differences(old, new):
        console.print(text, highlight=False, soft_wrap=True)
    worse = sorted({change.row for change in found if change.worse})
    console.print(f"worse: {', '.join(worse)}" if worse else "nothing is worse", highlight=False)
    sys.exit(exit_codes.REFUSED if worse else exit_codes.OK)


if __name__ == "__main__":
    main()
