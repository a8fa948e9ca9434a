"""Shortcuts and models on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from matplotlib.axes import Axes

from cxr.components.report.page.charts.svg import MUTED, SERIES, Chart, draw
from cxr.components.report.page.numbers import unbroken
from cxr.core.intervals import Figure

Kind = Literal["model", "shortcut", "reference"]
Row = tuple[str, Kind, Figure]  # name, what it is, balanced accuracy on the gate's split

MARKS: dict[Kind, tuple[str, str, str]] = {  # marker, colour, and the marker in words
    "model": ("o", SERIES[0], "round"),
    "shortcut": ("s", SERIES[1], "square"),
    "reference": ("^", SERIES[2], "triangle"),
}


def shortcuts_chart(key: str, rows: Sequence[Row], chance: float) -> Chart:
    """Returns the balanced accuracies with their 95 % intervals.

    Args:
      key: See `svg.draw`.
      rows: Of models, shortcuts and references (which no gate asks about), in the order of the chart.
      chance: Balanced accuracy of a guess.
    """
    kinds = [kind for kind in MARKS if any(kind == other for _, other, _ in rows)]

    def plot(axes: Axes) -> None:
        axes.axvline(chance, color=MUTED, linewidth=1, linestyle=":")
        for kind in kinds:
            marker, colour, _ = MARKS[kind]
            placed = [(place, found) for place, (_, other, found) in enumerate(rows) if other == kind]
            axes.plot([found.value or 0.0 for _, found in placed], [place for place, _ in placed], marker, color=colour, label=kind)
            for place, found in placed:
                if found.low is not None and found.high is not None:
                    axes.plot([found.low, found.high], [place, place], color=colour, linewidth=1.4)
        axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
        axes.set(xlabel="balanced accuracy (dotted: chance)", ylim=(len(rows) - 0.5, -0.5), xlim=(-0.02, 1.02))
        axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=len(kinds))

    described = "; ".join(f"{name} ({kind}) {found}" for name, kind, found in rows)
    marks = ", ".join(f"{kind}s ({MARKS[kind][2]})" for kind in kinds)
    svg = draw(key, f"Balanced accuracy of {marks}: {described}.", plot, (4.3, 1.15 + 0.24 * len(rows)))
    cells = tuple((name, kind, unbroken(str(found))) for name, kind, found in rows)
    return Chart("Models and shortcuts", svg, ("name", "what", "balanced accuracy (95 % interval)"), cells)
