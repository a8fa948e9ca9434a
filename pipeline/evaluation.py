"""Reads an Evaluator's output back: the numbers for the final table, and why the gate refused."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cxr.components.metrics import names
from cxr.core import features
from cxr.core.errors import CxrError
from cxr.core.intervals import Interval, mean_recall_interval, proportion_interval

if TYPE_CHECKING:
    from tensorflow_model_analysis.proto import metrics_for_slice_pb2, validation_result_pb2

CANDIDATES = ("", "candidate")  # TFMA's model name without and with a baseline
BASELINE = "baseline"


@dataclass(frozen=True)
class ClassResult:
    """One class, one against the rest; NaN where a value is not defined (class absent, or never predicted)."""

    name: str
    examples: int
    precision: float
    recall: float
    auc: float


@dataclass(frozen=True)
class SliceResult:
    """Examples that share one value of one feature."""

    feature: str
    value: str
    examples: int
    correct: int
    accuracy: float
    accuracy_interval: Interval
    balanced_accuracy: float
    calibration_error: float


@dataclass(frozen=True)
class Evaluation:
    """What the Evaluator measured for one candidate; intervals are 95 %, see intervals.py for what they assume.

    Attributes:
      confusion_matrix: counts, rows are true classes, columns predicted ones; without `invalid_predictions`.
      invalid_predictions: examples whose prediction was no probability (NaN, say); they count as wrong.
      calibration_bins: (examples, mean confidence, accuracy) per bin of the top probability; NaN in empty bins.
      baseline_accuracy: of the pushed version that it was compared with, on the same examples; None without one.
    """

    class_names: tuple[str, ...]
    examples: int
    correct: int
    accuracy: float
    accuracy_interval: Interval
    balanced_accuracy: float
    balanced_accuracy_interval: Interval
    log_loss: float
    calibration_error: float
    invalid_predictions: int
    classes: tuple[ClassResult, ...]
    confusion_matrix: tuple[tuple[int, ...], ...]
    calibration_bins: tuple[tuple[float, float, float], ...]
    slices: tuple[SliceResult, ...]
    baseline_accuracy: float | None = None


@dataclass(frozen=True)
class Validation:
    """The gate's answer; `reasons` is empty where it blessed the candidate."""

    blessed: bool
    reasons: tuple[str, ...]


def read_evaluation(uri: str | Path) -> Evaluation:
    """Reads the ModelEvaluation artifact at `uri`.

    Raises:
      CxrError: if the artifact holds no metrics of the whole split.
    """
    records = list(_metrics_records(uri))
    overall = _overall(records)
    if overall is None:
        raise CxrError(f"{uri} holds no metrics for the whole split: the Evaluator saw no examples, or did not finish; see its log")
    values = _values(overall, CANDIDATES)
    class_names = _class_names(uri)
    confusion = values[names.CONFUSION_MATRIX, None]
    right_per_class = [int(count) for count in np.diag(confusion)]
    examples_per_class = [int(count) for count in confusion.sum(axis=1)]
    correct, examples = sum(right_per_class), sum(examples_per_class)
    return Evaluation(
        class_names=class_names,
        examples=examples,
        correct=correct,
        accuracy=values[names.ACCURACY, None],
        accuracy_interval=proportion_interval(correct, examples),
        balanced_accuracy=values[names.BALANCED_ACCURACY, None],
        balanced_accuracy_interval=mean_recall_interval(right_per_class, examples_per_class),
        log_loss=values[names.LOG_LOSS, None],
        calibration_error=values[names.CALIBRATION_ERROR, None],
        invalid_predictions=int(values[names.INVALID_PREDICTIONS, None]),
        classes=tuple(
            ClassResult(name, n, values[names.PRECISION, index], values[names.RECALL, index], values[names.AUC, index])
            for index, (name, n) in enumerate(zip(class_names, examples_per_class, strict=True))
        ),
        confusion_matrix=tuple(tuple(int(count) for count in row[:-1]) for row in confusion),
        calibration_bins=_calibration_bins(values[names.CALIBRATION_BINS, None]),
        slices=_slices(records, class_names),
        baseline_accuracy=_values(overall, (BASELINE,)).get((names.ACCURACY, None)),
    )


def read_roc(uri: str | Path) -> dict[str, np.ndarray]:
    """Reads each class's ROC curve on the whole split from the ModelEvaluation artifact at `uri`.

    Returns:
      By class name: float64 [thresholds, 3], threshold, false and true positive rate; see Tally.roc.

    Raises:
      CxrError: if the artifact holds no metrics of the whole split.
    """
    overall = _overall(_metrics_records(uri))
    if overall is None:
        raise CxrError(f"{uri} holds no metrics for the whole split: the Evaluator saw no examples, or did not finish; see its log")
    values = _values(overall, CANDIDATES)
    return {name: values[names.ROC, index] for index, name in enumerate(_class_names(uri))}


def read_validation(uri: str | Path) -> Validation:
    """Reads the gate's answer from the ModelEvaluation artifact at `uri`.

    Returns:
      Whether every threshold held, and one sentence for each that did not.

    Raises:
      CxrError: if the artifact holds no validation result.
    """
    import tensorflow_model_analysis as tfma

    try:
        result = tfma.load_validation_result(str(uri))
    except AssertionError as error:  # TFMA's way of saying that there is no such file
        raise CxrError(f"{uri} holds no validation result: the Evaluator did not finish; see its log") from error
    overall = _overall(_metrics_records(uri))
    accuracy = _values(overall, CANDIDATES).get((names.ACCURACY, None)) if overall else None
    reasons = [_reason(failure, accuracy) for part in result.metric_validations_per_slice for failure in part.failures]
    if result.missing_slices:
        reasons.append("the evaluation split holds no, or too few, examples")
    if not result.validation_ok and not reasons:
        reasons.append("the Evaluator gave no reason; see its log")
    return Validation(bool(result.validation_ok), tuple(reasons))


# === Records ===


def _metrics_records(uri: str | Path) -> Iterable[metrics_for_slice_pb2.MetricsForSlice]:
    import tensorflow_model_analysis as tfma

    return tfma.load_metrics(str(uri))


def _overall(records: Iterable[metrics_for_slice_pb2.MetricsForSlice]) -> metrics_for_slice_pb2.MetricsForSlice | None:
    """Returns the record of the whole split."""
    return next((record for record in records if not record.slice_key.single_slice_keys), None)


def _class_names(uri: str | Path) -> tuple[str, ...]:
    """Reads the class names from the EvalConfig that TFMA keeps beside the metrics."""
    import tensorflow as tf

    path = f"{uri}/eval_config.json"
    with tf.io.gfile.GFile(path) as file:
        config = json.load(file)["evalConfig"]
    for spec in config["metricsSpecs"]:
        for metric in spec["metrics"]:
            class_names = json.loads(metric["config"]).get(names.CLASS_NAMES)
            if class_names:
                return tuple(class_names)
    raise CxrError(f"{path} names no classes: the evaluation was not configured by pipeline/gate.py")


def _values(record: metrics_for_slice_pb2.MetricsForSlice, models: tuple[str, ...]) -> dict[tuple[str, int | None], Any]:
    """Returns the metrics of that one of `models` that is in the record, by (name, class index or None); differences left out."""
    result: dict[tuple[str, int | None], Any] = {}
    for item in record.metric_keys_and_values:
        key = item.key
        if key.model_name not in models or key.is_diff:
            continue
        class_id = key.sub_key.class_id.value if key.sub_key.HasField("class_id") else None
        result[key.name, class_id] = _value(item.value)
    return result


def _value(value: metrics_for_slice_pb2.MetricValue) -> float | np.ndarray:
    if value.WhichOneof("type") == "array_value":
        array = value.array_value
        data = array.int64_values or array.float64_values
        return np.array(data).reshape(tuple(array.shape))
    return value.double_value.value


def _calibration_bins(bins: np.ndarray) -> tuple[tuple[float, float, float], ...]:
    with np.errstate(invalid="ignore"):
        means = bins[:, 1:] / bins[:, :1]
    return tuple((float(n), float(confidence), float(accuracy)) for n, (confidence, accuracy) in zip(bins[:, 0], means, strict=True))


def _slices(records: Iterable[metrics_for_slice_pb2.MetricsForSlice], class_names: tuple[str, ...]) -> tuple[SliceResult, ...]:
    """Returns the slices by a single feature, in the order of SLICE_FEATURES, classes and age bands."""
    order = {value: index for index, value in enumerate((*class_names, *features.AGE_BANDS))}  # the rest by name, UNKNOWN last
    results = []
    for record in records:
        if len(record.slice_key.single_slice_keys) != 1:
            continue
        slice_key = record.slice_key.single_slice_keys[0]
        values = _values(record, CANDIDATES)
        confusion = values[names.CONFUSION_MATRIX, None]
        correct, examples = int(np.trace(confusion)), int(confusion.sum())
        results.append(
            SliceResult(
                feature=slice_key.column,
                value=slice_key.bytes_value.decode(),
                examples=examples,
                correct=correct,
                accuracy=values[names.ACCURACY, None],
                accuracy_interval=proportion_interval(correct, examples),
                balanced_accuracy=values[names.BALANCED_ACCURACY, None],
                calibration_error=values[names.CALIBRATION_ERROR, None],
            )
        )
    results.sort(key=lambda r: (features.SLICE_FEATURES.index(r.feature), order.get(r.value, 0), r.value))
    return tuple(results)


# === Reasons ===


def _reason(failure: validation_result_pb2.ValidationFailure, accuracy: float | None) -> str:
    """Returns a sentence that says what was measured and what was asked for.

    Args:
      failure: one threshold that did not hold on the whole split (pipeline/gate.py sets none on slices).
      accuracy: the candidate's, which a failure of the change threshold does not carry.
    """
    name = failure.metric_key.name.replace("_", " ")
    if not failure.HasField("metric_value"):
        return f"{name} was not measured"
    value, threshold = failure.metric_value.double_value.value, failure.metric_threshold
    if failure.metric_key.name == names.INVALID_PREDICTIONS:
        return f"{value:.0f} predictions are no probabilities (NaN, infinite or outside [0, 1])"
    if threshold.HasField("change_threshold"):
        allowed = -threshold.change_threshold.absolute.value
        ours = f"{name} {accuracy:.3f}" if accuracy is not None else name
        theirs = f"'s {accuracy - value:.3f}" if accuracy is not None else ""
        return f"{ours} is {-value:.3f} below the baseline{theirs}; {allowed:.3f} is allowed"
    bounds = threshold.value_threshold
    if bounds.HasField("upper_bound") and value > bounds.upper_bound.value:
        return f"{name} {value:.3f} is above {bounds.upper_bound.value:.3f}"
    return f"{name} {value:.3f} is below {bounds.lower_bound.value:.3f}"
