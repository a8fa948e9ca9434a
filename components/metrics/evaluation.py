"""What was measured of one model, and what the gate says of it, as plain values: wherever the metrics were computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cxr.components.metrics import names
from cxr.components.metrics.names import Values
from cxr.components.metrics.verdicts import Judgement
from cxr.core import features, figure_table
from cxr.core.figure_table import interval_key
from cxr.core.intervals import Figure, Interval
from cxr.core.refusal import Refusal


class _Figures:
    """Fields that are called as rows of core/figure_table.py are, each with its interval beside it: tests/core/test_figure_table.py."""

    def figure(self, name: str) -> Figure:
        """Returns a figure with its interval; without a value where it is not defined.

        Raises:
          ValueError: There is no such figure.
          AttributeError: It is of one class, and these are of all, or the other way round.
        """
        known = figure_table.row_of(name).name
        return Figure.of(getattr(self, known), getattr(self, interval_key(known)))


@dataclass(frozen=True, kw_only=True)
class ClassResult(_Figures):
    """One class, one against the rest; NaN where a value is not defined (class absent, or never predicted)."""

    name: str
    examples: int
    precision: float
    precision_interval: Interval
    recall: float
    recall_interval: Interval
    auc: float
    auc_interval: Interval
    specificity: float
    specificity_interval: Interval


@dataclass(frozen=True, kw_only=True)
class PartResult(_Figures):
    """The whole split, or a part of it: figures of all classes."""

    examples: int
    patients: int
    correct: int
    accuracy: float
    accuracy_interval: Interval
    balanced_accuracy: float
    balanced_accuracy_interval: Interval
    log_loss: float
    log_loss_interval: Interval
    calibration_error: float
    calibration_error_interval: Interval


@dataclass(frozen=True, kw_only=True)
class SliceResult(PartResult):
    """Examples that share one value of one feature."""

    feature: str
    value: str


@dataclass(frozen=True, kw_only=True)
class Evaluation(PartResult):
    """What the Evaluator measured for one candidate; intervals are 95 %, by patient.

    Attributes:
      confusion_matrix: counts, rows are true classes, columns predicted ones; without `invalid_predictions`.
      invalid_predictions: examples whose prediction was no probability (NaN, say); they count as wrong.
      calibration_bins: (examples, mean confidence, accuracy) per bin of the top probability; NaN in empty bins.
      baseline_accuracy: of the pushed version that it was compared with, on the same examples; None without one.
      change: of the accuracy against that version, with the same patients drawn for both; None without one.
      added: metrics that `gate.metrics` adds, by name, with `.class` where there is one per class.
    """

    class_names: tuple[str, ...]
    invalid_predictions: int
    classes: tuple[ClassResult, ...]
    confusion_matrix: tuple[tuple[int, ...], ...]
    calibration_bins: tuple[tuple[float, float, float], ...]
    slices: tuple[SliceResult, ...]
    baseline_accuracy: float | None = None
    change: Interval | None = None
    added: Mapping[str, float] = field(default_factory=dict)

    @property
    def tabled_slices(self) -> tuple[SliceResult, ...]:
        """The slices but those by label: their accuracy is the recall, which tables of classes have, from draws of other patients."""
        return tuple(part for part in self.slices if part.feature != features.LABEL)


@dataclass(frozen=True)
class Validation:
    """The gate's answer; `refusals` is empty where it blessed the candidate, `demands` says what became of each demand."""

    blessed: bool
    refusals: tuple[Refusal, ...]
    demands: tuple[Judgement, ...] = ()

    @property
    def reasons(self) -> tuple[str, ...]:
        """What the gate says, for pages that are about it alone."""
        return tuple(refusal.text for refusal in self.refusals)


def evaluation_of(values: Values, slices: Mapping[tuple[str, str], Values], class_names: tuple[str, ...]) -> Evaluation:
    """Makes an evaluation of metrics, wherever they were computed.

    Args:
      values: Of all examples.
      slices: By feature and its value.
      class_names: In the order of the probabilities.
    """
    confusion = values[names.CONFUSION_MATRIX, None]
    return Evaluation(
        class_names=class_names,
        **_part(values),
        invalid_predictions=int(values[names.INVALID_PREDICTIONS, None]),
        classes=tuple(_class_result(values, index, name) for index, name in enumerate(class_names)),
        confusion_matrix=tuple(tuple(int(count) for count in row[:-1]) for row in confusion),
        calibration_bins=_calibration_bins(values[names.CALIBRATION_BINS, None]),
        slices=_slice_results(slices, class_names),
    )


def _part(values: Values) -> dict[str, Any]:
    """Returns the fields of a PartResult."""
    confusion = values[names.CONFUSION_MATRIX, None]
    return {
        "examples": int(confusion.sum()),
        "patients": int(values[names.PATIENT_COUNT, None]),
        "correct": int(np.trace(confusion)),
        **_figures(values, names.FIGURES),
    }


def _class_result(values: Values, index: int, name: str) -> ClassResult:
    examples = int(values[names.CONFUSION_MATRIX, None][index].sum())
    return ClassResult(name=name, examples=examples, **_figures(values, names.CLASS_FIGURES, index))


def _figures(values: Values, figures: Iterable[str], index: int | None = None) -> dict[str, Any]:
    """Returns the fields of figures and of their intervals; NaN limits where there are too few patients to tell.

    NaN too for a figure that is not among the metrics: an Evaluator of an older version did not know it.
    """
    found: dict[str, Any] = {}
    for figure in figures:
        low, high = (values.get((names.end(figure, which), index), np.nan) for which in names.ENDS)
        found |= {figure: values.get((figure, index), np.nan), interval_key(figure): Interval(low, high)}
    return found


def _calibration_bins(bins: np.ndarray) -> tuple[tuple[float, float, float], ...]:
    with np.errstate(invalid="ignore"):
        means = bins[:, 1:] / bins[:, :1]
    return tuple((float(n), float(confidence), float(accuracy)) for n, (confidence, accuracy) in zip(bins[:, 0], means, strict=True))


def _slice_results(slices: Mapping[tuple[str, str], Values], class_names: tuple[str, ...]) -> tuple[SliceResult, ...]:
    """Returns the slices in the order of SLICE_FEATURES, classes and age bands."""
    order = {value: index for index, value in enumerate((*class_names, *features.AGE_BANDS))}  # the rest by name, UNKNOWN last
    results = [SliceResult(feature=feature, value=value, **_part(values)) for (feature, value), values in slices.items()]
    results.sort(key=lambda r: (features.SLICE_FEATURES.index(r.feature), order.get(r.value, 0), r.value))
    return tuple(results)
