"""All models beside each other."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes

from cxr.components.metrics.evaluation import Evaluation
from cxr.components.report.page.charts.svg import SERIES, Chart, draw
from cxr.components.report.page.numbers import number
from cxr.core.figure_table import ACCURACY, BALANCED_ACCURACY, row_of
from cxr.core.intervals import Interval, with_interval


def accuracy_chart(evaluations: Mapping[str, Evaluation]) -> Chart:
    """Returns each model's accuracy and balanced accuracy with their 95 % intervals."""
    overall, balanced = (row_of(name).title for name in (ACCURACY, BALANCED_ACCURACY))
    figures = {
        overall: {name: (e.accuracy, e.accuracy_interval) for name, e in evaluations.items()},
        balanced: {name: (e.balanced_accuracy, e.balanced_accuracy_interval) for name, e in evaluations.items()},
    }

    def plot(axes: Axes) -> None:
        for at, (what, values) in enumerate(figures.items()):
            places = [row + (at - 0.5) * 0.24 for row in range(len(values))]
            for place, (value, interval) in zip(places, values.values(), strict=True):
                axes.plot([interval.low, interval.high], [place, place], color=SERIES[at], linewidth=1.4)
                axes.plot([value], [place], "os"[at], color=SERIES[at], label=what if place == places[0] else None)
        axes.set_yticks(range(len(evaluations)), list(evaluations))
        axes.invert_yaxis()
        axes.set(xlabel="share", ylim=(len(evaluations) - 0.5, -0.5))
        axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2)

    described = "; ".join(f"{name} {with_interval(value, interval)}" for name, (value, interval) in figures[overall].items())
    description = f"{overall.capitalize()} of all models with 95 % intervals: {described}. The table below has the {balanced} too."
    rows = tuple((name, *(cell for what in figures for cell in _cells(*figures[what][name]))) for name in evaluations)
    columns = ("model", *(column for what in figures for column in (what, "95 % interval")))
    return Chart("All models", draw("models", description, plot, (4.3, 1.1 + 0.42 * len(evaluations))), columns, rows)


def _cells(value: float, interval: Interval) -> tuple[str, str]:
    return number(value), str(interval)
