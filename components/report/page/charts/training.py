"""Learning curves of one model."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import accumulate

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from cxr.components.report.page.charts.svg import DASHES, MUTED, SERIES, Chart, draw
from cxr.components.report.page.content import Training
from cxr.components.report.page.numbers import number, short
from cxr.core.counts import how_many

SERIES_OF = {
    "loss": ("loss", "val_loss"),
    "accuracy": ("accuracy", "val_accuracy"),
    "learning rate": ("learning_rate",),
}
LABELS = {
    "loss": "training",
    "accuracy": "training",
    "val_loss": "validation",
    "val_accuracy": "validation",
    "learning_rate": "learning rate",
}
MOST_RATES = 8  # steps between ticks of the learning rate


def training_charts(key: str, model: str, training: Training) -> tuple[Chart, ...]:
    """Returns a chart each of loss, accuracy and learning rate over the epochs of all stages; none where nothing was trained.

    Args:
      key: First part of the charts' keys.
      model: Its name.
      training: With the stages.
    """
    rows = [row for stage in training.stages for row in stage.rows]
    return tuple(_chart(f"{key}-{what.replace(' ', '-')}", model, what, training) for what in SERIES_OF if rows)


def best_epochs(training: Training) -> dict[int, str]:
    """Returns the epochs, counted through all stages, whose weights were kept, with their stages."""
    begins = [0, *accumulate(len(stage.rows) for stage in training.stages)]
    return {begin + stage.best_epoch: stage.name for begin, stage in zip(begins, training.stages, strict=False) if stage.best_epoch}


def rate_ticks(rates: Iterable[float]) -> list[float]:
    """Returns what to write at an axis of learning rates: of those that occur the lowest, the highest, and others that have room."""
    found = sorted({rate for rate in rates if rate > 0})  # not NaN
    if len(found) < 2:
        return found
    ticks, room = [found[0]], math.log(found[-1] / found[0]) / MOST_RATES
    for rate in found[1:-1]:
        if math.log(rate / ticks[-1]) >= room <= math.log(found[-1] / rate):
            ticks.append(rate)
    return [*ticks, found[-1]]


def _chart(key: str, model: str, what: str, training: Training) -> Chart:
    rows = [row for stage in training.stages for row in stage.rows]
    present = [series for series in SERIES_OF[what] if any(series in row for row in rows)]
    best = best_epochs(training)

    def plot(axes: Axes) -> None:
        epochs = range(1, len(rows) + 1)
        for at, series in enumerate(present):
            values = [row.get(series, float("nan")) for row in rows]
            axes.plot(epochs, values, DASHES[at], color=SERIES[at], marker="." if len(rows) < 40 else "", label=LABELS[series])
        for begin in list(accumulate(len(stage.rows) for stage in training.stages))[:-1]:
            axes.axvline(begin + 0.5, color=MUTED, linewidth=0.8, linestyle=":")
        for at, epoch in enumerate(best):
            axes.axvline(epoch, color=SERIES[2], linewidth=1, label=None if at else "best epoch")
        axes.set(xlabel="epoch", ylabel=what)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if what == "learning rate":
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(FixedLocator(rate_ticks(row.get(series, math.nan) for series in present for row in rows)))
            axes.yaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_formatter("{x:.3g}")  # matplotlib's own would be mathematics in TeX
        if present and (len(present) > 1 or best):
            axes.legend()

    stages = ", then ".join(stage.name for stage in training.stages)
    last = ", ".join(f"{LABELS[series]} {_written(series, rows[-1].get(series), 4)}" for series in present)
    kept = "".join(f"; best epoch {epoch} ({stage})" for epoch, stage in best.items())
    description = (
        f"{model}: {what} over {how_many(len(rows), 'epoch')} ({stages}). At the end: {last}{kept}. The table below has all numbers."
    )
    names = [name for stage in training.stages for name in [stage.name] * len(stage.rows)]
    cells = tuple(
        (f"{epoch}{' (best)' if epoch in best else ''}", names[epoch - 1], *(_written(series, row.get(series), 6) for series in present))
        for epoch, row in enumerate(rows, 1)
    )
    columns = ("epoch", "stage", *(LABELS[series] for series in present))
    return Chart(what, draw(key, description, plot), columns, cells)


def _written(series: str, value: float | None, digits: int) -> str:
    """A learning rate can be less than any number of digits after the point shows."""
    return short(value) if series == "learning_rate" else number(value, digits)
