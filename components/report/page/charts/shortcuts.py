"""Shortcuts and models on one scale."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from cxr.components.report.page.charts.svg import MUTED, SERIES, Chart, draw
from cxr.core.intervals import Figure

Row = tuple[str, bool, Figure]  # name, whether it is a model of the run, balanced accuracy on the gate's split


def shortcuts_chart(key: str, rows: Sequence[Row], chance: float) -> Chart:
    """Returns the balanced accuracies with their 95 % intervals.

    Args:
      key: See `svg.draw`.
      rows: Of models and shortcuts, in the order of the chart.
      chance: Balanced accuracy of a guess.
    """

    def plot(axes: Axes) -> None:
        axes.axvline(chance, color=MUTED, linewidth=1, linestyle=":")
        for place, (_, is_model, found) in enumerate(rows):
            colour = SERIES[0] if is_model else SERIES[1]
            if found.low is not None and found.high is not None:
                axes.plot([found.low, found.high], [place, place], color=colour, linewidth=1.4)
            axes.plot([found.value or 0.0], [place], "o" if is_model else "s", color=colour)
        axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
        axes.set(xlabel="balanced accuracy (dotted: a guess)", ylim=(len(rows) - 0.5, -0.5), xlim=(-0.02, 1.02))

    described = "; ".join(f"{name} {found}" for name, _, found in rows)
    svg = draw(key, f"Balanced accuracy of models (round) and shortcuts (square): {described}.", plot, (4.3, 0.9 + 0.24 * len(rows)))
    cells = tuple((name, "model" if is_model else "shortcut", str(found)) for name, is_model, found in rows)
    return Chart("Models beside shortcuts", svg, ("name", "what", "balanced accuracy (95 % interval)"), cells)
