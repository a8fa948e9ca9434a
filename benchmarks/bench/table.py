"""The results for people."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from bench.results import Measured, RowResult, Spread

_HEADINGS = ("row", "ours", "beside it", "speed", "its speed", "ratio", "spread", "wanted", "memory, MB", "its memory")
_TEXTS = 3  # columns at the left
_BUSY = 0.1  # share of the cores that others may take before it is said


def table(measured: Measured) -> Table:
    """Makes the table: one line for each other side of each row. A ratio above 1: ours is the faster."""
    machine = measured.machine
    made = Table(
        title=f"{measured.count} images ({measured.images}), {machine.cores} cores, {measured.rounds} rounds; medians, speeds per second",
        title_justify="left",
        caption=_caption(measured),
        caption_justify="left",
    )
    for number, heading in enumerate(_HEADINGS):
        made.add_column(heading, justify="left" if number < _TEXTS else "right", no_wrap=number >= _TEXTS)
    for name, row in measured.rows.items():
        for line in lines(name, row):
            made.add_row(*line)
        made.add_section()
    return made


def lines(name: str, row: RowResult) -> list[tuple[str, ...]]:
    """Returns the cells of a row's lines."""
    found: list[tuple[str, ...]] = []
    for number, other in enumerate(row.others):
        speed = row.speed(other)
        found.append(
            (
                "" if number else name,
                "" if number else row.ours.name,
                other.name,
                "" if number else f"{_short(Spread.of([*row.ours.rates]).median)} {row.unit.partition('/')[0]}",
                _short(Spread.of([*other.rates]).median),
                f"{speed.median:.2f}",
                f"{speed.low:.2f} to {speed.high:.2f}",
                "" if other.least is None else f"{other.least:g}{' missed' if speed.median < other.least else ''}",
                "" if number else f"{row.ours.peak_memory / 1e6:,.0f}",
                f"{other.peak_memory / 1e6:,.0f}",
            )
        )
    return found


def markdown(rows: Mapping[str, RowResult]) -> str:
    """Returns the same lines for a page."""
    head = [_HEADINGS, tuple("---:" if number >= _TEXTS else "---" for number in range(len(_HEADINGS)))]
    return "\n".join(f"| {' | '.join(line)} |" for line in [*head, *(line for name, row in rows.items() for line in lines(name, row))])


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _caption(measured: Measured) -> str:
    told = ["A ratio above 1: ours is the faster. Memory: peak of the processes of a side together."]
    if measured.machine.busy > _BUSY:
        told.append(f"Others took {measured.machine.busy:.0%} of the machine when this began: believe the ratios, not the speeds.")
    if measured.failed:
        told.append(f"failed: {', '.join(measured.failed)}")
    return "\n".join(told)
