"""Reads an Evaluator's output back: what it measured, what the model answered to each image, and why the gate refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from cxr.components.metrics import names
from cxr.components.metrics.evaluation import Evaluation, Validation, evaluation_of
from cxr.components.metrics.names import Values
from cxr.components.metrics.verdicts import Failure, Measured, Slice, class_names_of, judge, refusal
from cxr.core import figure_table
from cxr.core.damaged_artifact import reading
from cxr.core.errors import CxrError
from cxr.core.intervals import Interval
from cxr.core.refusal import Check, Refusal

if TYPE_CHECKING:
    from tensorflow_model_analysis.proto import config_pb2, metrics_for_slice_pb2

_CANDIDATES = ("", "candidate")  # TFMA's model name without and with a baseline
_BASELINE = "baseline"

_EVAL_CONFIG = "eval_config.json"

T = TypeVar("T")


def _told(read: Callable[[str | Path], T]) -> Callable[[str | Path], T]:
    """Has a damaged file told by a function that reads an artifact: some damage shows only where what was read is made use of."""

    @wraps(read)
    def told(uri: str | Path) -> T:
        with reading(uri):
            return read(uri)

    return told


@_told
def read_evaluation(uri: str | Path) -> Evaluation:
    """Reads the ModelEvaluation artifact at `uri`.

    Raises:
      CxrError: if the artifact holds no metrics of the whole split, or is damaged.
    """
    records = list(_metrics_records(uri))
    overall = _overall(uri, records)
    values, baseline = _values(overall, _CANDIDATES), _values(overall, (_BASELINE,))
    class_names = _class_names(uri)
    return replace(
        evaluation_of(values, _slices(records), class_names),
        baseline_accuracy=baseline.get((figure_table.ACCURACY, None)),
        change=_change(_values(overall, _CANDIDATES, changes=True), figure_table.ACCURACY) if baseline else None,
        added=_added(_eval_config(uri), values, class_names),
    )


@_told
def read_values(uri: str | Path) -> tuple[Values, Values]:
    """Reads the metrics of the whole split from the ModelEvaluation artifact at `uri`.

    Returns:
      Those of the candidate, and those of the version that it was compared with; the latter are empty without one.

    Raises:
      CxrError: if the artifact holds no metrics of the whole split, or is damaged.
    """
    overall = _overall(uri, _metrics_records(uri))
    return _values(overall, _CANDIDATES), _values(overall, (_BASELINE,))


@_told
def read_changes(uri: str | Path) -> dict[str, Interval]:
    """Reads by how much the candidate differs from the version that it was compared with, from the ModelEvaluation artifact at `uri`.

    Returns:
      By figure of all classes: the interval of candidate minus that version on the whole split, the same patients drawn for both; NaN
      where they are too few. Empty without one.

    Raises:
      CxrError: if the artifact holds no metrics of the whole split, or is damaged.
    """
    changes = _values(_overall(uri, _metrics_records(uri)), _CANDIDATES, changes=True)
    return {name: _change(changes, name) for name in names.FIGURES} if changes else {}


@_told
def read_roc(uri: str | Path) -> dict[str, np.ndarray]:
    """Reads each class's ROC curve on the whole split from the ModelEvaluation artifact at `uri`.

    Returns:
      By class name: float64 [thresholds, 3], threshold, false and true positive rate; see components.metrics.tally.Results.roc.

    Raises:
      CxrError: if the artifact holds no metrics of the whole split, or is damaged.
    """
    values = read_values(uri)[0]
    return {name: values[names.ROC, index] for index, name in enumerate(_class_names(uri))}


@_told
def read_answers(uri: str | Path) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Reads what the candidate answered to each image of the split from the ModelEvaluation artifact at `uri`.

    Returns:
      Numbers of the images (answers.image_number) and true classes, int64 [images]; probabilities, float32 [images, classes]. None where
      the Evaluator of an older version kept none.

    Raises:
      CxrError: if the artifact holds no metrics of the whole split, or is damaged.
    """
    values = read_values(uri)[0]
    keys = (names.ANSWERED_IMAGES, names.ANSWERED_LABELS, names.ANSWERED_PROBABILITIES)
    if any((key, None) not in values for key in keys):
        return None
    images, labels, probabilities = (values[key, None] for key in keys)
    return images.astype(np.int64), labels.astype(np.int64), probabilities.astype(np.float32)


def read_answers_by_image(uri: str | Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Reads what `read_answers` does, each image once (two patients may share a picture, which was asked about twice).

    Returns:
      Numbers of the images, ascending, int64 [images], and probabilities, float32 [images, classes]; None as there.

    Raises:
      CxrError: as there.
    """
    answers = read_answers(uri)
    if answers is None:
        return None
    numbers, _, probabilities = answers
    images, first = np.unique(numbers, return_index=True)
    return images, probabilities[first]


@_told
def read_validation(uri: str | Path) -> Validation:
    """Reads the gate's answer from the ModelEvaluation artifact at `uri`.

    Returns:
      Whether every threshold held, a refusal for each that did not, and what was measured and wanted of each.

    Raises:
      CxrError: if the artifact holds no validation result, or is damaged.
    """
    import tensorflow_model_analysis as tfma

    try:
        result = tfma.load_validation_result(str(uri))
    except AssertionError as error:  # TFMA's way of saying that there is no such file
        raise CxrError(f"{uri} holds no validation result: the Evaluator did not finish; see its log") from error
    measured = [
        Measured(_where(record.slice_key), _values(record, _CANDIDATES), _values(record, _CANDIDATES, changes=True))
        for record in _metrics_records(uri)
    ]
    measured.sort(key=lambda part: part.where or ())
    failures = [Failure(_where(part.slice_key), failure) for part in result.metric_validations_per_slice for failure in part.failures]
    demands = judge(_eval_config(uri), measured, failures)
    accuracy = next((part.values.get((figure_table.ACCURACY, None)) for part in measured if part.where is None), None)
    refusals = [refusal(failure, demands, accuracy) for failure in failures]
    if result.missing_slices:
        refusals.append(Refusal(check=Check.GATE, text="the evaluation split holds no, or too few, examples"))
    if not result.validation_ok and not refusals:
        refusals.append(Refusal(check=Check.GATE, text="the Evaluator gave no reason; see its log"))
    return Validation(bool(result.validation_ok), tuple(refusals), tuple(demands))


# === Records ===


def _metrics_records(uri: str | Path) -> Iterable[metrics_for_slice_pb2.MetricsForSlice]:
    import tensorflow_model_analysis as tfma

    return tfma.load_metrics(str(uri))


def _overall(uri: str | Path, records: Iterable[metrics_for_slice_pb2.MetricsForSlice]) -> metrics_for_slice_pb2.MetricsForSlice:
    """Returns the record of the whole split."""
    for record in records:
        if not record.slice_key.single_slice_keys:
            return record
    raise CxrError(
        f"{uri} holds no metrics for the whole split: the Evaluator saw no examples, or did not finish (its log says so), or its files "
        "were removed since: then remove the whole folder, and the next run makes it anew"
    )


def _eval_config(uri: str | Path) -> config_pb2.EvalConfig:
    """Reads the EvalConfig that TFMA keeps beside the metrics: as it ran, with the parameters of a run on Kubeflow."""
    import tensorflow as tf
    from google.protobuf import json_format
    from tensorflow_model_analysis.proto import config_pb2

    with tf.io.gfile.GFile(f"{uri}/{_EVAL_CONFIG}") as file:
        return json_format.ParseDict(json.load(file)["evalConfig"], config_pb2.EvalConfig(), ignore_unknown_fields=True)


def _class_names(uri: str | Path) -> tuple[str, ...]:
    """Returns the classes that the Evaluator was configured with."""
    class_names = class_names_of(_eval_config(uri))
    if not class_names:
        raise CxrError(f"{uri}/{_EVAL_CONFIG} names no classes: the evaluation was not configured by pipeline/gate.py")
    return class_names


def _values(record: metrics_for_slice_pb2.MetricsForSlice, models: tuple[str, ...], *, changes: bool = False) -> Values:
    """Returns the metrics of that one of `models` that is in the record.

    Args:
      record: of one slice.
      models: TFMA's names.
      changes: the differences to the baseline, in place of the metrics themselves.
    """
    result = {}
    for item in record.metric_keys_and_values:
        key = item.key
        if key.model_name not in models or key.is_diff != changes:
            continue
        class_id = key.sub_key.class_id.value if key.sub_key.HasField("class_id") else None
        result[key.name, class_id] = _value(item.value)
    return result


def _where(key: metrics_for_slice_pb2.SliceKey) -> Slice:
    """Returns feature and value of a slice by a single feature, which all of ours are; None for the whole split."""
    single = next(iter(key.single_slice_keys), None)
    return (single.column, single.bytes_value.decode()) if single else None


def _value(value: metrics_for_slice_pb2.MetricValue) -> float | np.ndarray:
    if value.WhichOneof("type") == "array_value":
        array = value.array_value
        data = array.int64_values or array.float64_values or array.float32_values
        return np.array(data).reshape(tuple(array.shape))
    return value.double_value.value


def _added(config: config_pb2.EvalConfig, values: Values, class_names: tuple[str, ...]) -> dict[str, float]:
    """Returns the metrics of `gate.metrics` that are numbers."""
    specs = [metric for spec in config.metrics_specs for metric in spec.metrics if metric.class_name not in names.OUR_CLASSES]
    wanted = {json.loads(metric.config or "{}").get("name") for metric in specs}
    return {
        name if class_id is None else f"{name}.{class_names[class_id]}": float(value)
        for (name, class_id), value in values.items()
        if name in wanted and np.ndim(value) == 0
    }


def _change(changes: Values, figure: str) -> Interval:
    low, high = (changes.get((names.change(figure, which), None), np.nan) for which in names.ENDS)
    return Interval(low, high)


def _slices(records: Iterable[metrics_for_slice_pb2.MetricsForSlice]) -> dict[tuple[str, str], Values]:
    """Returns the metrics of the slices by a single feature, by feature and value."""
    single = [record for record in records if len(record.slice_key.single_slice_keys) == 1]
    keys = [record.slice_key.single_slice_keys[0] for record in single]
    return {(key.column, key.bytes_value.decode()): _values(record, _CANDIDATES) for key, record in zip(keys, single, strict=True)}
