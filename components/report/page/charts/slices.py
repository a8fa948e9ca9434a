"""Accuracy by slice of one model."""

from __future__ import annotations

from matplotlib.axes import Axes

from cxr.components.metrics.evaluation import Evaluation, SliceResult
from cxr.components.report.page.charts.svg import MUTED, SERIES, Chart, draw
from cxr.components.report.page.numbers import number, unbroken
from cxr.core.counts import how_many
from cxr.core.figure_table import OF_ALL_CLASSES

_LONGEST_LABEL = 28  # characters


def slices_chart(key: str, model: str, evaluation: Evaluation) -> Chart | None:
    """Returns each slice's accuracy with its 95 % interval, beside that of the whole split; None where there is no slice.

    Those by label are left out, see `Evaluation.tabled_slices`.
    """
    slices = evaluation.tabled_slices
    if not slices:
        return None

    def plot(axes: Axes) -> None:
        axes.axvline(evaluation.accuracy, color=MUTED, linewidth=1, linestyle=":")
        for place, found in enumerate(slices):
            axes.plot([found.accuracy_interval.low, found.accuracy_interval.high], [place, place], color=SERIES[0], linewidth=1.4)
            axes.plot([found.accuracy], [place], "o", color=SERIES[0])
        axes.set_yticks(range(len(slices)), [_label(found) for found in slices])
        axes.set(xlabel="accuracy (dotted: whole split)", ylim=(len(slices) - 0.5, -0.5), xlim=(-0.02, 1.02))

    described = "; ".join(
        f"{s.feature} {s.value} {number(s.accuracy)} ({s.accuracy_interval}), {how_many(s.examples, 'image')}" for s in slices
    )
    shown = {row.name: row.title for row in OF_ALL_CLASSES if row.by_slice}
    rows = tuple(
        (
            f"{s.feature}: {s.value}",
            str(s.examples),
            str(s.patients),
            *(unbroken(str(s.figure(name))) for name in shown),
        )
        for s in slices
    )
    columns = ("slice", "images", "patients", *(f"{title} (95 % interval)" for title in shown.values()))
    svg = draw(key, f"{model}: accuracy by slice. {described}.", plot, (4.3, 0.9 + 0.24 * len(slices)))
    return Chart("Slices", svg, columns, rows)


def _label(found: SliceResult) -> str:
    feature = found.feature.replace("_", " ")
    return f"{_short(f'{feature}: {found.value}')} ({found.examples})"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_LABEL else f"{text[: _LONGEST_LABEL - 1]}…"
