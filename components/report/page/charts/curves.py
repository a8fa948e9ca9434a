"""ROC, precision-recall and reliability of one model."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Collection, Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from cxr.components.metrics.evaluation import Evaluation
from cxr.components.report.page.charts.svg import MUTED, SERIES, SIZE, Chart, draw, look
from cxr.components.report.page.numbers import NONE, number, unbroken, with_interval
from cxr.core.curve_bands import GRID, Band, Curve
from cxr.core.figure_table import CALIBRATION_ERROR, row_of
from cxr.core.intervals import Interval

Floats = npt.NDArray[np.float64]
Bands = Mapping[str, Mapping[Curve, Band]]  # class: of its curves
ROC_PLACE, RECALL_PLACE = 0.1, 0.8  # where the descriptions read the bands
FEW_ANSWERS = 10  # a share of fewer says little
LEGEND_INSIDE = 6  # so many classes leave the curves visible
LEGEND_HALF, LEGEND_WHOLE = 22, 48  # characters that half and all of the width hold
LEGEND_LINE = 0.2  # inches


def roc_chart(key: str, model: str, evaluation: Evaluation, roc: Mapping[str, Floats], bands: Bands) -> Chart:
    """Returns each class's ROC curve, one against the rest.

    Args:
      key: Of the chart.
      model: Its name.
      evaluation: With the areas.
      roc: Class to [thresholds, 3], see `read_roc`.
      bands: Class to its bands, see `curve_bands`; may lack some.
    """
    points = {name: _distinct(curve) for name, curve in roc.items()}

    def plot(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=":")
        for at, (name, curve) in enumerate(points.items()):
            axes.plot(curve[:, 1], curve[:, 2], **look(at), label=name)
            _shade(axes, at, bands, name, "roc")
        axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        _legend(axes, points, "lower right")

    areas = ", ".join(f"{result.name} {with_interval(result.auc, result.auc_interval)}" for result in evaluation.classes)
    description = f"{model}: ROC curves, one class against the rest. Areas: {areas}."
    description += _described(points, bands, "roc", ROC_PLACE, f"true positive rate at a false positive rate of {ROC_PLACE}")
    columns = ("class", "threshold", "false positive rate", "true positive rate")
    return Chart("ROC", draw(key, description, plot, _size(points)), *_table(columns, points, bands, "roc"))


def precision_recall_chart(key: str, model: str, evaluation: Evaluation, roc: Mapping[str, Floats], bands: Bands) -> Chart:
    """Returns each class's precision over its recall, from the ROC curve's rates and the number of examples on either side.

    Between two points the lower threshold's precision holds, as in average precision (scikit-learn's average_precision_score).
    """
    points = {}
    for result in evaluation.classes:
        own, others = result.examples, evaluation.examples - evaluation.invalid_predictions - result.examples
        curve = _distinct(roc.get(result.name, np.empty((0, 3))))
        right, wrong = curve[:, 2] * own, curve[:, 1] * others
        with np.errstate(invalid="ignore"):
            found = np.stack([curve[:, 0], curve[:, 2], right / (right + wrong)], axis=1)
        points[result.name] = found[np.isfinite(found).all(axis=1)]

    def plot(axes: Axes) -> None:
        for at, (name, curve) in enumerate(points.items()):
            axes.step(curve[:, 1], curve[:, 2], where="pre", **look(at), label=name)
            _shade(axes, at, bands, name, "precision_recall")
        axes.set(xlabel="recall", ylabel="precision", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        _legend(axes, points, "lower left")

    chance = ", ".join(f"{result.name} {number(result.examples / evaluation.examples)}" for result in evaluation.classes)
    description = f"{model}: precision over recall, one class against the rest. By chance the precision is: {chance}."
    description += _described(points, bands, "precision_recall", RECALL_PLACE, f"precision at a recall of {RECALL_PLACE}")
    columns = ("class", "threshold", "recall", "precision")
    return Chart("Precision and recall", draw(key, description, plot, _size(points)), *_table(columns, points, bands, "precision_recall"))


def reliability_chart(key: str, model: str, evaluation: Evaluation) -> Chart:
    """Returns how often the model is right where it says that it is so sure."""
    bins = [found for found in evaluation.calibration_bins if found[0] and math.isfinite(found[1])]
    most = max((found[0] for found in bins), default=1)

    def plot(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=":", label="perfectly calibrated")
        # Points only: a line would join the share of two answers to that of a hundred as if both were as firm.
        for few, label in ((False, "predictions (larger: more)"), (True, f"fewer than {FEW_ANSWERS} predictions")):
            drawn = [found for found in bins if (found[0] < FEW_ANSWERS) is few]
            sizes = [20 + 120 * found[0] / most for found in drawn]
            means, shares = [found[1] for found in drawn], [found[2] for found in drawn]
            axes.scatter(
                means, shares, s=sizes, facecolors="none" if few else SERIES[0], edgecolors=SERIES[0], label=label if drawn else None
            )
        axes.set(xlabel="predicted probability", ylabel="share that is right", xlim=(-0.02, 1.02), ylim=(-0.05, 1.05))
        axes.legend(loc="upper left")

    error = f"{row_of(CALIBRATION_ERROR).title} {unbroken(str(evaluation.figure(CALIBRATION_ERROR)))}"
    description = f"{model}: reliability, the share of right predictions over the predicted probability; {error}."
    if any(found[0] < FEW_ANSWERS for found in bins):
        description += f" Hollow: bins of fewer than {FEW_ANSWERS} predictions, whose share says little."
    rows = tuple((number(found[1]), f"{found[0]:.0f}", number(found[2])) for found in bins)
    return Chart("Reliability", draw(key, description, plot), ("mean probability", "predictions", "share right"), rows)


def _shade(axes: Axes, at: int, bands: Bands, name: str, curve: Curve) -> None:
    if band := bands.get(name, {}).get(curve):
        axes.fill_between(GRID, band.low, band.high, color=look(at)["color"], alpha=0.13, linewidth=0)
        for edge in (band.low, band.high):  # shades that lie on each other do not show whose they are
            axes.plot(GRID, edge, **look(at), linewidth=0.7)


def _legend(axes: Axes, names: Collection[str], inside: Literal["lower left", "lower right"]) -> None:
    """Says whose curve is whose: where it leaves the curves visible, or below them where the classes are many or their names long."""
    if _fits_inside(names):
        axes.legend(loc=inside)
    else:
        curves, labels = axes.get_legend_handles_labels()
        lines = [textwrap.fill(label, LEGEND_WHOLE) for label in labels]
        axes.figure.legend(curves, lines, loc="outside lower center", ncols=_legend_columns(names))


def _size(names: Collection[str]) -> tuple[float, float]:
    """As other charts, and room for the legend where it stands below."""
    if _fits_inside(names):
        return SIZE
    lines = sum(len(textwrap.wrap(name, LEGEND_WHOLE)) for name in names)
    return SIZE[0], SIZE[1] + LEGEND_LINE * math.ceil(lines / _legend_columns(names))


def _fits_inside(names: Collection[str]) -> bool:
    return len(names) <= LEGEND_INSIDE and max(map(len, names)) <= LEGEND_HALF


def _legend_columns(names: Collection[str]) -> int:
    return 2 if max(map(len, names)) <= LEGEND_HALF else 1


def _described(points: Mapping[str, Floats], bands: Bands, curve: Curve, place: float, what: str) -> str:
    """What the shaded bands say, at one place of each."""
    limits = {name: bands[name][curve].at(np.array([place]))[0] for name in points if curve in bands.get(name, {})}
    said = ", ".join(f"{name} {interval}" for name, interval in limits.items() if math.isfinite(interval.low))
    return f" Shaded: pointwise 95 % bands by patient; {what}: {said}." if said else ""


def _table(
    columns: tuple[str, ...], points: Mapping[str, Floats], bands: Bands, curve: Curve
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Heads and cells of a chart's table; with the bands' limits at each point where there are any."""
    banded = any(curve in found for found in bands.values())
    rows = []
    for name, found in points.items():
        band = bands.get(name, {}).get(curve)
        limits = band.at(found[:, 1]) if band else [Interval(math.nan, math.nan)] * len(found)
        for point, interval, meant in zip(found, limits, _meant(found[:, 1], curve), strict=True):
            cells = (name, *map(number, map(float, point)))
            rows.append((*cells, str(interval) if meant else NONE) if banded else cells)
    return (*columns, "95 % band") if banded else columns, tuple(rows)


def _meant(places: Floats, curve: Curve) -> npt.NDArray[np.bool_]:
    """Tells which points a band is of; from the highest threshold on, many can stand above the same place.

    Of a ROC curve it is the highest of them, which comes last; of precision and recall the one with the highest threshold, which comes
    first. At a recall of 0 the band is that of the first hit.
    """
    moves = np.diff(places) != 0
    return np.r_[moves, True][: len(places)] if curve == "roc" else np.r_[True, moves][: len(places)] & (places > 0)


def _distinct(curve: Floats) -> Floats:
    """Leaves out points that say nothing new, and all of a class that has none; from the highest threshold on."""
    curve = curve[np.isfinite(curve).all(axis=1)][::-1]
    new = np.ones(len(curve), bool)
    new[1:-1] = (np.diff(curve[:-1, 1:], axis=0) != 0).any(axis=1) | (np.diff(curve[1:, 1:], axis=0) != 0).any(axis=1)
    return curve[new]
