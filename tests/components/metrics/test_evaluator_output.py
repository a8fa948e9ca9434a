"""Reading an Evaluator's output that was written record by record; test_gate.py reads what the real Evaluator wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_model_analysis.metrics.metric_types import MetricKey
from tensorflow_model_analysis.proto import config_pb2, validation_result_pb2
from tensorflow_model_analysis.writers.metrics_plots_and_validations_writer import convert_slice_metrics_to_proto

from cxr.components.metrics import names
from cxr.components.metrics.classification import ClassificationCombiner
from cxr.components.metrics.evaluator_output import (
    read_answers,
    read_changes,
    read_evaluation,
    read_roc,
    read_validation,
    read_values,
)
from cxr.core.errors import CxrError
from cxr.core.figure_table import ACCURACY
from cxr.core.intervals import Figure
from cxr.core.refusal import Check

CLASS_NAMES = ("covid19", "pneumonia", "normal")


def measured(model: str, predictions: list[tuple[int, list[float]]]) -> dict:
    combiner = ClassificationCombiner(CLASS_NAMES, 5, None, model, "")
    tally = combiner.create_accumulator()
    for number, (label, probabilities) in enumerate(predictions):
        tally.add(label, np.array(probabilities), b"%d" % number)
    return combiner.extract_output(tally)


def write(folder: Path, slices: dict[tuple, dict], validation: validation_result_pb2.ValidationResult | None = None) -> str:
    with tf.io.TFRecordWriter(str(folder / "metrics-00000-of-00001.tfrecord")) as writer:
        for key, metrics in slices.items():
            writer.write(convert_slice_metrics_to_proto((key, metrics), []).SerializeToString())
    metric = {"config": json.dumps({names.CLASS_NAMES: CLASS_NAMES})}
    (folder / "eval_config.json").write_text(json.dumps({"evalConfig": {"metricsSpecs": [{"metrics": [metric]}]}}))
    if validation is not None:
        with tf.io.TFRecordWriter(str(folder / "validations.tfrecord")) as writer:
            writer.write(validation.SerializeToString())
    return str(folder)


RIGHT, WRONG, NAN = [0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [np.nan] * 3


def test_candidate_and_baseline_are_told_apart(tmp_path: Path) -> None:
    candidate = measured("candidate", [(0, RIGHT), (0, RIGHT), (0, WRONG), (0, NAN)])
    baseline = measured("baseline", [(0, WRONG)] * 3 + [(0, RIGHT)])
    difference = {MetricKey(ACCURACY, "candidate", is_diff=True): 0.25}
    evaluation = read_evaluation(write(tmp_path, {(): baseline | candidate | difference}))
    assert (evaluation.accuracy, evaluation.baseline_accuracy) == (0.5, 0.25)
    assert (evaluation.examples, evaluation.correct, evaluation.invalid_predictions) == (4, 2, 1)
    assert evaluation.confusion_matrix == ((2, 1, 0), (0, 0, 0), (0, 0, 0))


def test_the_roc_curves_are_the_candidates(tmp_path: Path) -> None:
    measurements = [(0, RIGHT), (1, WRONG), (1, RIGHT)]
    found = read_roc(write(tmp_path, {(): measured("candidate", measurements) | measured("baseline", [(0, WRONG)])}))
    assert list(found) == list(CLASS_NAMES)
    threshold, false_positive, true_positive = found["covid19"].T
    at = np.searchsorted(threshold, 0.5)
    assert (false_positive[at], true_positive[at]) == (0.5, 1.0)
    assert np.isnan(found["normal"][:, 2]).all()


def test_classes_without_examples_are_nan_and_do_not_count(tmp_path: Path) -> None:
    evaluation = read_evaluation(write(tmp_path, {(): measured("", [(0, RIGHT), (0, WRONG)])}))
    assert evaluation.balanced_accuracy == 0.5
    assert [c.examples for c in evaluation.classes] == [2, 0, 0]
    assert np.isnan([evaluation.classes[1].recall, evaluation.classes[2].precision, evaluation.classes[0].auc]).all()
    assert evaluation.classes[1].precision == 0
    assert evaluation.balanced_accuracy_interval == evaluation.accuracy_interval


def test_a_figure_that_an_evaluator_of_an_older_version_did_not_know_is_not_defined(tmp_path: Path) -> None:
    found = measured("", [(0, RIGHT), (1, WRONG), (2, RIGHT)])
    older = {key: value for key, value in found.items() if not key.name.startswith(("auc", "calibration_error"))}
    evaluation = read_evaluation(write(tmp_path, {(): older}))
    assert (evaluation.correct, evaluation.classes[0].recall) == (2, 1.0)
    for undefined in (evaluation.figure("calibration_error"), evaluation.classes[0].figure("auc")):
        assert undefined == Figure(value=None)


def test_calibration_bins_are_means(tmp_path: Path) -> None:
    evaluation = read_evaluation(write(tmp_path, {(): measured("", [(0, [0.9, 0.1, 0]), (0, [0, 0.95, 0.05])])}))
    assert evaluation.calibration_bins[-1] == pytest.approx((2, 0.925, 0.5))
    assert evaluation.calibration_bins[0] == pytest.approx((0, np.nan, np.nan), nan_ok=True)
    assert evaluation.calibration_error == pytest.approx(0.425)


def test_slices_in_the_order_of_features_classes_and_ages(tmp_path: Path) -> None:
    one = measured("", [(0, RIGHT)])
    expected = [
        ("label", "covid19"),
        ("label", "normal"),
        ("sex", "male"),
        ("sex", "unknown"),
        ("age_band", "65+"),
        ("age_band", "unknown"),
    ]
    records = {((feature, value.encode()),): one for feature, value in reversed(expected)}
    evaluation = read_evaluation(write(tmp_path, records | {(): one}))
    assert [(s.feature, s.value) for s in evaluation.slices] == expected
    assert all(s.examples == s.correct == 1 for s in evaluation.slices)


def failure(name: str, value: float | None = None, **threshold) -> validation_result_pb2.ValidationFailure:
    result = validation_result_pb2.ValidationFailure()
    result.metric_key.name = name
    if value is not None:
        result.metric_value.double_value.value = value
    result.metric_threshold.CopyFrom(config_pb2.MetricThreshold(**threshold))
    return result


@pytest.mark.parametrize(
    ("refusal", "sentence"),
    [
        (
            failure("accuracy", 0.714, value_threshold=config_pb2.GenericValueThreshold(lower_bound={"value": 0.85})),
            "accuracy 0.714 is below 0.850",
        ),
        (
            failure("log_loss", 2.5, value_threshold=config_pb2.GenericValueThreshold(upper_bound={"value": 1})),
            "log loss 2.500 is above 1.000",
        ),
        (
            failure("accuracy", -0.25, change_threshold=config_pb2.GenericChangeThreshold(absolute={"value": -0.020000001})),
            "accuracy 0.500 is 0.250 below the baseline's 0.750; 0.020 is allowed",
        ),
        (failure("invalid_predictions", 3), "3 predictions are not vectors of probabilities (NaN, infinite or outside [0, 1])"),
        (failure("accuracy"), "accuracy was not measured"),
    ],
)
def test_every_refusal_has_its_sentence(tmp_path: Path, refusal: validation_result_pb2.ValidationFailure, sentence: str) -> None:
    result = validation_result_pb2.ValidationResult(validation_ok=False)
    result.metric_validations_per_slice.add().failures.append(refusal)
    validation = read_validation(write(tmp_path, {(): measured("candidate", [(0, RIGHT), (0, WRONG)])}, result))
    assert not validation.blessed
    assert validation.reasons == (sentence,)


CHANGE = config_pb2.GenericChangeThreshold(absolute={"value": -0.02})


@pytest.mark.parametrize(
    ("refusal", "behind"),
    [
        (failure("accuracy", 0.5, value_threshold=config_pb2.GenericValueThreshold(lower_bound={"value": 0.9})), False),
        (failure("accuracy", -0.25, change_threshold=CHANGE), True),
        (failure("log_loss_change_upper", 0.25, change_threshold=CHANGE), True),
        (failure("accuracy_change_lower", np.nan, change_threshold=CHANGE), False),  # too few patients to tell
        (failure("accuracy"), False),
    ],
)
def test_a_refusal_says_whether_it_is_about_the_baseline_whatever_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: validation_result_pb2.ValidationFailure, behind: bool
) -> None:
    monkeypatch.setattr("cxr.components.metrics.verdicts._sentence", lambda *_: "in other words")
    result = validation_result_pb2.ValidationResult(validation_ok=False)
    result.metric_validations_per_slice.add().failures.append(refusal)
    (found,) = read_validation(write(tmp_path, {(): measured("candidate", [(0, RIGHT), (0, WRONG)])}, result)).refusals
    assert (str(found), found.check, found.behind_baseline) == ("gate: in other words", Check.GATE, behind)


def test_empty_split(tmp_path: Path) -> None:
    result = validation_result_pb2.ValidationResult(validation_ok=False, missing_slices=[config_pb2.SlicingSpec()])
    uri = write(tmp_path, {}, result)
    assert read_validation(uri).reasons == ("the evaluation split holds no, or too few, examples",)
    with pytest.raises(CxrError, match="no metrics for the whole split"):
        read_evaluation(uri)


def test_evaluator_that_did_not_finish(tmp_path: Path) -> None:
    with pytest.raises(CxrError, match="no validation result"):
        read_validation(tmp_path)
    with pytest.raises(CxrError, match="no metrics"):
        read_evaluation(tmp_path)


READERS = (read_evaluation, read_values, read_changes, read_roc, read_answers, read_validation)
OF_CONFIG = (read_evaluation, read_roc, read_validation)
METRICS, VALIDATIONS, CONFIG = "metrics-00000-of-00001.tfrecord", "validations.tfrecord", "eval_config.json"


def flipped(contents: bytes) -> bytes:
    middle = len(contents) // 2
    return contents[:middle] + bytes([contents[middle] ^ 0x10]) + contents[middle + 1 :]


@pytest.mark.parametrize(
    ("file", "damaged", "readers"),
    [
        (METRICS, flipped, READERS),
        (VALIDATIONS, flipped, (read_validation,)),
        (CONFIG, lambda _: b"{", OF_CONFIG),
        (CONFIG, lambda _: b"null", OF_CONFIG),
        (CONFIG, lambda _: b"{}", OF_CONFIG),
        (CONFIG, lambda contents: b"\xff\xfe" + contents, OF_CONFIG),
        (CONFIG, lambda contents: contents.replace(b"metricsSpecs", b'metricsSpecs": 1, "a'), OF_CONFIG),
        (CONFIG, lambda contents: contents.replace(b'\\"class_names', b"\\'class_names"), OF_CONFIG),
    ],
)
def test_a_damaged_file_is_told_with_a_remedy(
    tmp_path: Path, file: str, damaged: Callable[[bytes], bytes], readers: tuple[Callable[[str], object], ...]
) -> None:
    uri = write(tmp_path, {(): measured("", [(0, RIGHT), (0, WRONG)])}, validation_result_pb2.ValidationResult(validation_ok=True))
    for read in readers:
        read(uri)
    whole = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(damaged(whole))
    assert (tmp_path / file).read_bytes() != whole
    for read in readers:
        with pytest.raises(CxrError, match=r": cannot be read \(.*\); remove this folder, and the next run makes it anew") as raised:
            read(uri)
        assert str(raised.value).startswith(f"{uri}: ")
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("file", [METRICS, VALIDATIONS, CONFIG])
def test_a_folder_in_the_place_of_a_file_is_told(tmp_path: Path, file: str) -> None:
    uri = write(tmp_path, {(): measured("", [(0, RIGHT), (0, WRONG)])}, validation_result_pb2.ValidationResult(validation_ok=True))
    (tmp_path / file).unlink()
    (tmp_path / file).mkdir()
    with pytest.raises(CxrError, match="cannot be read .* remove this folder"):
        read_validation(uri)
