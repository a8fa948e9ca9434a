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
from cxr.core.intervals import MIN_PATIENTS, Interval, bootstrap_interval, share_interval

if TYPE_CHECKING:
    from tensorflow_model_analysis.proto import metrics_for_slice_pb2, validation_result_pb2

CANDIDATES = ("", "candidate")  # TFMA's model name without and with a baseline
BASELINE = "baseline"

Values = dict[tuple[str, int | None], Any]  # by metric and class; None: of all classes


@dataclass(frozen=True)
class ClassResult:
    """One class, one against the rest; NaN where a value is not defined (class absent, or never predicted)."""

    name: str
    examples: int
    precision: float
    recall: float
    auc: float
    precision_interval: Interval
    recall_interval: Interval
    auc_interval: Interval


@dataclass(frozen=True)
class SliceResult:
    """Examples that share one value of one feature."""

    feature: str
    value: str
    examples: int
    patients: int
    correct: int
    accuracy: float
    accuracy_interval: Interval
    balanced_accuracy: float
    balanced_accuracy_interval: Interval
    calibration_error: float
    calibration_error_interval: Interval


@dataclass(frozen=True)
class Evaluation:
    """What the Evaluator measured for one candidate; intervals are 95 %, by bootstrap over patients.

    Attributes:
      confusion_matrix: counts, rows are true classes, columns predicted ones; without `invalid_predictions`.
      invalid_predictions: examples whose prediction was no probability (NaN, say); they count as wrong.
      calibration_bins: (examples, mean confidence, accuracy) per bin of the top probability; NaN in empty bins.
      baseline_accuracy: of the pushed version that it was compared with, on the same examples; None without one.
      change: of the accuracy against that version, with the same patients drawn for both; None without one.
    """

    class_names: tuple[str, ...]
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
    invalid_predictions: int
    classes: tuple[ClassResult, ...]
    confusion_matrix: tuple[tuple[int, ...], ...]
    calibration_bins: tuple[tuple[float, float, float], ...]
    slices: tuple[SliceResult, ...]
    baseline_accuracy: float | None = None
    change: Interval | None = None


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
    values, baseline = _values(overall, CANDIDATES), _values(overall, (BASELINE,))
    class_names = _class_names(uri)
    confusion = values[names.CONFUSION_MATRIX, None]
    return Evaluation(
        class_names=class_names,
        **_common(values),
        log_loss=values[names.LOG_LOSS, None],
        log_loss_interval=_interval(values, names.LOG_LOSS),
        invalid_predictions=int(values[names.INVALID_PREDICTIONS, None]),
        classes=tuple(_class_result(values, index, name) for index, name in enumerate(class_names)),
        confusion_matrix=tuple(tuple(int(count) for count in row[:-1]) for row in confusion),
        calibration_bins=_calibration_bins(values[names.CALIBRATION_BINS, None]),
        slices=_slices(records, class_names),
        baseline_accuracy=baseline.get((names.ACCURACY, None)),
        change=bootstrap_interval(_draws(values, names.ACCURACY) - _draws(baseline, names.ACCURACY)) if baseline else None,
    )


def read_roc(uri: str | Path) -> dict[str, np.ndarray]:
    """Reads each class's ROC curve on the whole split from the ModelEvaluation artifact at `uri`.

    Returns:
      By class name: float64 [thresholds, 3], threshold, false and true positive rate; see components.metrics.tally.Results.roc.

    Raises:
      CxrError: if the artifact holds no metrics of the whole split.
    """
    overall = _overall(_metrics_records(uri))
    if overall is None:
        raise CxrError(f"{uri} holds no metrics for the whole split: the Evaluator saw no examples, or did not finish; see its log")
    values = _values(overall, CANDIDATES)
    return {name: values[names.ROC, index] for index, name in enumerate(_class_names(uri))}


def read_answers(uri: str | Path) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Reads what the candidate answered to each image of the split from the ModelEvaluation artifact at `uri`.

    Returns:
      Numbers of the images (answers.image_number) and true classes, int64 [images]; probabilities, float32 [images, classes]. None where
      the Evaluator of an older version kept none.

    Raises:
      CxrError: if the artifact holds no metrics of the whole split.
    """
    overall = _overall(_metrics_records(uri))
    if overall is None:
        raise CxrError(f"{uri} holds no metrics for the whole split: the Evaluator saw no examples, or did not finish; see its log")
    values = _values(overall, CANDIDATES)
    keys = (names.ANSWERED_IMAGES, names.ANSWERED_LABELS, names.ANSWERED_PROBABILITIES)
    if any((key, None) not in values for key in keys):
        return None
    images, labels, probabilities = (values[key, None] for key in keys)
    return images.astype(np.int64), labels.astype(np.int64), probabilities.astype(np.float32)


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


def _values(record: metrics_for_slice_pb2.MetricsForSlice, models: tuple[str, ...]) -> Values:
    """Returns the metrics of that one of `models` that is in the record, by (name, class index or None); differences left out."""
    result: Values = {}
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
        data = array.int64_values or array.float64_values or array.float32_values
        return np.array(data).reshape(tuple(array.shape))
    return value.double_value.value


def _common(values: Values) -> dict[str, Any]:
    """Returns what is known of the whole split and of a slice alike."""
    confusion = values[names.CONFUSION_MATRIX, None]
    return {
        "examples": int(confusion.sum()),
        "patients": int(values[names.PATIENT_COUNT, None]),
        "correct": int(np.trace(confusion)),
        "accuracy": values[names.ACCURACY, None],
        "accuracy_interval": _interval(values, names.ACCURACY),
        "balanced_accuracy": values[names.BALANCED_ACCURACY, None],
        "balanced_accuracy_interval": _interval(values, names.BALANCED_ACCURACY),
        "calibration_error": values[names.CALIBRATION_ERROR, None],
        "calibration_error_interval": _interval(values, names.CALIBRATION_ERROR),
    }


def _class_result(values: Values, index: int, name: str) -> ClassResult:
    found: dict[str, Any] = {figure: values[figure, index] for figure in names.CLASS_FIGURES}
    found |= {f"{figure}_interval": _interval(values, figure, index) for figure in names.CLASS_FIGURES}
    return ClassResult(name=name, examples=int(values[names.CONFUSION_MATRIX, None][index].sum()), **found)


def _draws(values: Values, figure: str, index: int | None = None) -> np.ndarray:
    """Returns one figure in each draw of patients."""
    draws = values[names.DRAWS, None]
    if index is None:
        return draws[:, names.FIGURES.index(figure)]
    classes = len(values[names.CONFUSION_MATRIX, None])
    return draws[:, len(names.FIGURES) + names.CLASS_FIGURES.index(figure) * classes + index]


def _interval(values: Values, figure: str, index: int | None = None) -> Interval:
    """Returns a figure's interval; NaN limits where there are too few patients to tell."""
    draws, patients = _draws(values, figure, index), int(values[names.PATIENT_COUNT, None])
    labelled, predicted = values[names.PATIENTS, None]
    trials = {
        names.ACCURACY: patients,
        names.BALANCED_ACCURACY: int((labelled > 0).sum() * labelled[labelled > 0].min(initial=patients)),  # the rarest class decides
        names.RECALL: int(labelled[index or 0]),
        names.PRECISION: int(predicted[index or 0]),
    }
    if figure in trials:
        return share_interval(values[figure, index], draws, trials[figure])
    return bootstrap_interval(draws) if patients >= MIN_PATIENTS else Interval(np.nan, np.nan)


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
        common = _common(_values(record, CANDIDATES))
        results.append(SliceResult(feature=slice_key.column, value=slice_key.bytes_value.decode(), **common))
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
