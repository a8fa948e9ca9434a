"""Demands of the gate, judged in memory by TFMA's own computations and validator; test_gate.py has the whole Evaluator."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from google.protobuf import json_format
from tensorflow_model_analysis.evaluators import metrics_validator
from tensorflow_model_analysis.metrics import metric_specs
from tensorflow_model_analysis.metrics.metric_types import DerivedMetricComputation, MetricComputation
from tensorflow_model_analysis.proto import validation_result_pb2
from tensorflow_model_analysis.writers.metrics_plots_and_validations_writer import convert_slice_metrics_to_proto

from cxr.components.metrics import names
from cxr.components.metrics.evaluation import Validation
from cxr.components.metrics.evaluator_output import read_evaluation, read_validation
from cxr.components.metrics.verdicts import not_judged
from cxr.core.errors import UsageError
from cxr.pipeline.gate import Gate, eval_config
from cxr.pipeline.pipeline_config import load, shipped
from cxr.pipeline.report import Candidate

PATIENTS, CLASSES = 120, 3
LOW_ON_CLASS_2 = np.array([0.95, 0.9, 0.6])


def answers(right: Sequence[float] | np.ndarray, seed: int = 0, patients: int = PATIENTS) -> list[tuple[int, np.ndarray, bytes]]:
    """Labels, probabilities and patients, of whom each has two images; `right` of each class's are."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(2 * patients):
        label = (number // 2) % CLASSES
        position = number // (2 * CLASSES) / (patients / CLASSES)  # the first ones are right: which, is the same for all
        taken_for = label if position < right[label] else (label + 1) % CLASSES
        probabilities = random.dirichlet(np.ones(CLASSES)) * 0.2 + 0.8 * np.eye(CLASSES)[taken_for]
        found.append((label, probabilities, b"%d" % (number // 2)))
    return found


Judge = Callable[..., Validation]


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    """Returns a function that judges answers by a gate: of the whole split, and of slices of it."""

    def run(
        gate: Gate,
        whole: Sequence[tuple[int, np.ndarray, bytes]],
        slices: Mapping[tuple[str, str], Sequence[tuple[int, np.ndarray, bytes]]] | None = None,
        baseline: Sequence[tuple[int, np.ndarray, bytes]] | None = None,
    ) -> Validation:
        config = eval_config(gate, "tiny", code_version="")
        config = tfma.utils.update_eval_config_with_defaults(config, has_baseline=baseline is not None, rubber_stamp=True)
        for spec in config.metrics_specs:  # what an image was answered is demanded by nobody
            kept = [metric for metric in spec.metrics if metric.class_name != names.ANSWERS_CLASS]
            del spec.metrics[:]
            spec.metrics.extend(kept)
        computations = metric_specs.to_computations(config.metrics_specs, eval_config=config)
        result = validation_result_pb2.ValidationResult(validation_ok=True)
        parts = {(): whole} | {((feature, value.encode()),): given for (feature, value), given in (slices or {}).items()}
        with tf.io.TFRecordWriter(str(tmp_path / "metrics-00000-of-00001.tfrecord")) as writer:
            for key, given in parts.items():
                metrics: dict = {}
                for computation in (found for found in computations if isinstance(found, MetricComputation)):
                    tally = computation.combiner.create_accumulator()
                    for label, probabilities, patient in (baseline or ()) if computation.keys[0].model_name == "baseline" else given:
                        tally.add(label, probabilities, patient)
                    metrics |= computation.combiner.extract_output(tally)
                for computation in (found for found in computations if isinstance(found, DerivedMetricComputation)):
                    metrics |= computation.result(metrics)
                for metric_key, value in list(metrics.items()):
                    other = metric_key._replace(model_name="baseline")
                    if baseline is not None and other in metrics and metric_key != other and np.ndim(value) == 0:
                        metrics[metric_key.make_diff_key()] = value - metrics[other]
                found = metrics_validator.validate_metrics((key, metrics), config)
                result.validation_ok &= found.validation_ok
                result.metric_validations_per_slice.extend(found.metric_validations_per_slice)
                writer.write(convert_slice_metrics_to_proto((key, metrics), []).SerializeToString())
        (tmp_path / "eval_config.json").write_text(json.dumps({"evalConfig": json_format.MessageToDict(config)}))
        with tf.io.TFRecordWriter(str(tmp_path / "validations.tfrecord")) as writer:
            writer.write(result.SerializeToString())
        return read_validation(tmp_path)

    return run


def gate(*demands: dict, **settings: object) -> Gate:
    return Gate.model_validate({"min_accuracy": 0.0, "above_chance": False, "demands": demands} | settings)


# === Above chance ===


def test_a_model_that_looks_at_nothing_is_refused_whatever_its_accuracy(judge: Judge) -> None:
    """Most images are of one class, which it nearly always answers with; the rest of its answers follow no label."""
    labels = np.random.default_rng(1).choice(3, 300, p=[0.06, 0.06, 0.88])
    predicted = np.where(np.arange(300) % 8 == 0, np.arange(300) // 8 % 3, 2)
    given = [
        (int(label), np.eye(3)[one] * 0.7 + 0.1, b"%d" % number) for number, (label, one) in enumerate(zip(labels, predicted, strict=True))
    ]
    assert judge(gate(min_accuracy=0.5), given).blessed
    found = judge(gate(min_accuracy=0.5, above_chance=True), given)
    (reason,) = found.reasons
    assert re.fullmatch(r"balanced accuracy \(lower end of the 95 % interval\) 0\.[0-3]\d\d is below 0\.333", reason)
    (demand,) = (one for one in found.demands if one.demand == "demands.above_chance.balanced_accuracy")
    assert demand.verdict == "missed"
    assert demand.least == pytest.approx(1 / 3)
    assert judge(Gate(min_accuracy=0.5), answers(LOW_ON_CLASS_2)).blessed  # on by default, and no hindrance to who learnt something


# === Bounds ===


def test_a_bound_on_each_class_names_the_one_that_misses_it(judge: Judge) -> None:
    found = judge(gate({"metric": "recall", "min": 0.7}), answers(LOW_ON_CLASS_2))
    assert not found.blessed
    assert found.reasons == ("recall of normal 0.600 is below 0.700",)
    verdicts = {judgement.what: judgement.verdict for judgement in found.demands if judgement.demand.startswith("demands")}
    assert verdicts == {"recall of covid19": "met", "recall of pneumonia": "met", "recall of normal": "missed"}


def test_the_lower_end_is_held_to_its_bound_not_the_value(judge: Judge) -> None:
    figures = read_lower(judge, answers(LOW_ON_CLASS_2))
    assert 0.4 < figures["lower"] < 0.6 < figures["upper"]
    low = figures["lower"]
    demand = {"metric": "recall", "class": "normal", "at": "lower"}
    assert judge(gate(demand | {"min": low}), answers(LOW_ON_CLASS_2)).blessed
    found = judge(gate(demand | {"min": low + 0.01}), answers(LOW_ON_CLASS_2))
    assert found.reasons == (f"recall of normal (lower end of the 95 % interval) {low:.3f} is below {low + 0.01:.3f}",)


def read_lower(judge: Judge, given: Sequence[tuple[int, np.ndarray, bytes]]) -> dict[str, float]:
    demands = [{"metric": "recall", "class": "normal", "at": end, "min": 0.0} for end in ("lower", "upper")]
    found = [judgement for judgement in judge(gate(*demands), given).demands if judgement.demand.startswith("demands")]
    return {end: judgement.measured for end, judgement in zip(("lower", "upper"), found, strict=True)}


def test_upper_bounds_and_both_together(judge: Judge) -> None:
    given = answers(LOW_ON_CLASS_2)
    assert judge(gate({"metric": "log_loss", "max": 5}, {"metric": "accuracy", "min": 0.8, "max": 0.9}), given).blessed
    found = judge(gate({"metric": "log_loss", "max": 0.01}, {"metric": "accuracy", "min": 0.5, "max": 0.6}), given)
    (loss, accuracy) = found.reasons
    assert loss.startswith("log loss ")
    assert loss.endswith(" is above 0.010")
    assert accuracy == "accuracy 0.817 is above 0.600"


def test_a_demand_on_another_model_is_none(judge: Judge) -> None:
    assert judge(gate({"metric": "accuracy", "min": 1, "models": ["other"]}), answers(LOW_ON_CLASS_2)).blessed
    assert not judge(gate({"metric": "accuracy", "min": 1, "models": ["other", "tiny"]}), answers(LOW_ON_CLASS_2)).blessed


def test_a_class_without_examples_meets_no_bound_on_the_whole_split(judge: Judge) -> None:
    given = [answer for answer in answers([1, 1, 1]) if answer[0] != 2]
    found = judge(gate({"metric": "auc", "class": "normal", "min": 0.1}), given)
    assert found.reasons == ("AUC of normal is not defined (0 patients); at least 0.100 is required",)


# === Slices ===


def test_slices_with_enough_patients_are_judged_and_the_others_named(judge: Judge) -> None:
    whole, bad = answers([1, 1, 1]), answers([0.5, 0.5, 0.5])
    slices = {("source", "nih"): answers([1, 1, 1]), ("source", "cohen"): bad, ("source", "new"): bad[:38], ("sex", "male"): bad}
    found = judge(gate({"metric": "accuracy", "slice": "source", "min": 0.7, "min_patients": 20}), whole, slices)
    assert found.reasons == ("accuracy in source cohen 0.500 is below 0.700",)
    verdicts = {judgement.where: (judgement.verdict, judgement.patients) for judgement in found.demands if judgement.where}
    assert verdicts == {("source", "nih"): ("met", 120), ("source", "cohen"): ("missed", 120), ("source", "new"): ("not judged", 19)}
    assert judge(gate({"metric": "accuracy", "slice": "source", "max": -0.5}), whole[:38], {("source", "new"): bad[:38]}).blessed


def test_a_figure_of_a_class_counts_the_patients_of_the_class(judge: Judge) -> None:
    rare = answers([0, 0, 0], patients=30)  # ten patients of each class
    demand = {"metric": "recall", "class": "covid19", "slice": "source", "min": 0.5}
    assert judge(gate(demand | {"min_patients": 11}), answers([1, 1, 1]), {("source", "x"): rare}).blessed
    assert not judge(gate(demand | {"min_patients": 10}), answers([1, 1, 1]), {("source", "x"): rare}).blessed


def test_a_class_that_a_slice_does_not_have_is_not_judged_there(judge: Judge) -> None:
    without = [answer for answer in answers([1, 1, 1]) if answer[0] != 0]
    found = judge(
        gate({"metric": "auc", "class": "covid19", "slice": "source", "min": 0.9}), answers([1, 1, 1]), {("source", "x"): without}
    )
    assert found.blessed
    assert [judgement.verdict for judgement in found.demands if judgement.where] == ["not judged"]


def test_slices_that_were_not_judged_are_named_with_the_reason(judge: Judge) -> None:
    few = answers([1, 1, 1], patients=6)  # enough for this demand, too few for an interval
    demand = {"metric": "calibration_error", "at": "upper", "slice": "age_band", "max": 0.0, "min_patients": 6}
    found = judge(gate(demand), answers([1, 1, 1]), {("age_band", "0-17"): few, ("age_band", "65+"): few[:10]})
    assert found.blessed
    assert not_judged(found.demands) == [
        "gate: calibration error (upper end of the 95 % interval) was not judged in age band 0-17 (not defined), 65+ (5 patients)"
    ]


def test_the_report_holds_every_demand(judge: Judge) -> None:
    without = [answer for answer in answers([1, 1, 1]) if answer[0] != 2]
    demands = judge(gate({"metric": "auc", "class": "normal", "min": 0.1}), without).demands
    written = json.loads(Candidate(name="tiny", outcome="refused", demands=demands).model_dump_json())["demands"]
    assert [demand["demand"] for demand in written] == ["accuracy", "invalid_predictions", "demands.0.auc.normal"]
    assert (written[2]["verdict"], written[2]["measured"], written[2]["least"], written[2]["where"]) == ("missed", None, 0.1, None)


# === Non-inferiority ===


def test_the_margin_holds_for_the_end_of_the_paired_interval(judge: Judge) -> None:
    rule = {"non_inferiority": {"margin": 0.05}, "tolerance": 1.0}
    baseline = answers([0.95, 0.95, 0.95])
    assert judge(gate(**rule), answers([0.95, 0.95, 0.95], seed=1), baseline=baseline).blessed  # never wrong where the other is right
    found = judge(gate(**rule), answers([0.9, 0.9, 0.9]), baseline=baseline)  # 0.05 worse: within the margin, but not surely
    assert not found.blessed
    (reason,) = found.reasons
    assert reason.startswith("accuracy may be 0.")
    assert reason.endswith(" below the baseline's (end of the 95 % interval of the difference, same patients); 0.050 is allowed")
    (change,) = [judgement for judgement in found.demands if judgement.demand == "accuracy_change_lower"]
    assert change.verdict == "missed"
    assert change.least == pytest.approx(-0.05)
    assert -0.12 < change.measured < -0.06
    assert judge(gate(**rule | {"non_inferiority": {"margin": 0.12}}), answers([0.9, 0.9, 0.9]), baseline=baseline).blessed


def test_that_few_patients_are_right_with_both_proves_no_small_margin(judge: Judge) -> None:
    same = answers([0.9, 0.9, 0.9], patients=42)
    found = judge(gate(non_inferiority={"margin": 0.05}), same, baseline=same)
    assert [reason.split(" (")[0] for reason in found.reasons] == ["accuracy may be 0.084 below the baseline's"]
    assert judge(gate(non_inferiority={"margin": 0.084}), same, baseline=same).blessed


def test_where_lower_is_better_the_upper_end_counts(judge: Judge) -> None:
    rule = {"non_inferiority": {"metric": "log_loss", "margin": 0.05}, "tolerance": 1.0}
    good, bad = answers([0.95, 0.95, 0.95]), answers([0.8, 0.8, 0.8])
    assert judge(gate(**rule), good, baseline=bad).blessed
    assert "above the baseline's" in judge(gate(**rule), bad, baseline=good).reasons[0]


def test_without_a_baseline_nothing_is_compared(judge: Judge) -> None:
    found = judge(gate(non_inferiority={"margin": 0.0}), answers([0.5, 0.5, 0.5]))
    assert found.blessed
    assert not [judgement for judgement in found.demands if "change" in judgement.demand]


def test_too_few_patients_prove_nothing(judge: Judge) -> None:
    few = answers([1, 1, 1], patients=9)
    found = judge(gate(non_inferiority={"margin": 0.1}), few, baseline=few)
    assert found.reasons == ("accuracy was measured on too few patients for a comparison; at most 0.100 below the baseline is allowed",)


# === The configuration ===


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("gate.demands=[{metric: recal, min: 1}]", "demands.0.metric: there is no recal; there are the figures accuracy"),
        ("gate.demands=[{metric: auc}]", "gate.demands.0: demands nothing: set min, max or both"),
        ("gate.demands=[{metric: auc, min: 0.9, max: 0.8}]", "nothing passes"),
        ("gate.demands=[{metric: auc, min: .nan}]", "gate.demands.0.min"),
        ("gate.demands=[{metric: auc, min: 1, at: middle}]", "'value', 'lower' or 'upper'"),
        ("gate.demands=[{metric: auc, min: 1, class: flu}]", "gate.demands.0.class: there is no class flu; there are covid19"),
        ("gate.demands=[{metric: accuracy, min: 1, class: normal}]", "accuracy is of all classes"),
        ("gate.demands=[{metric: auc, min: 1, slice: hospital}]", "hospital is no feature that is evaluated by; label, source"),
        (
            "gate.demands=[{metric: auc, min: 1, models: [resnet]}]",
            "gate.demands.0.models: there is no model resnet; there are densenet201",
        ),
        ("gate.demands=[{metric: auc, min: 1, clas: normal}]", "gate.demands.0.clas: unknown key"),
        ("gate.non_inferiority={metric: recall, margin: 0.1}", "gate.non_inferiority.metric: Input should be 'accuracy'"),
        ("gate.non_inferiority={metric: accuracy}", "gate.non_inferiority.margin: is missing"),
        ("gate.metrics=[{class_name: AUC}]", "metrics.0: the name auc is taken; give it another"),
        ("gate.metrics=[{class_name: ExactMatch}, {class_name: ExactMatch}]", "metrics.1: the name exact_match is taken"),
    ],
)
def test_a_wrong_demand_is_named_with_what_is_allowed(override: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        load("cpu", [override])
    assert message in str(raised.value)


def test_a_printed_configuration_is_read_back(tmp_path: Path) -> None:
    overrides = ["gate.demands=[{metric: auc, class: normal, at: lower, min: 0.5, slice: source, models: [ensemble]}]"]
    overrides.append("gate.metrics=[{class_name: ExactMatch}]")
    config = load("cpu", [*overrides, "gate.non_inferiority={margin: 0.1}"])
    (tmp_path / "printed.yaml").write_text(config.to_yaml())
    assert load(str(tmp_path / "printed.yaml")) == config


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_configuration_makes_a_gate_for_each_model(name: str) -> None:
    config = load(name)
    for candidate in config.candidates:
        made = eval_config(config.gate, candidate, config.class_names, code_version="")
        demanded = [metric for spec in made.metrics_specs for metric in spec.metrics if metric.class_name == names.DEMANDED_CLASS]
        held = [demand for demand in config.gate.all_demands(len(config.class_names)).values() if demand.holds_for(candidate)]
        assert {json.loads(metric.config)["figure"] for metric in demanded} == {demand.metric for demand in held}
        assert "demands.above_chance.balanced_accuracy" in {json.loads(metric.config)["name"] for metric in demanded}
        assert metric_specs.to_computations(made.metrics_specs, eval_config=made)


def test_classes_of_the_data_are_checked_too() -> None:
    with pytest.raises(UsageError, match=r"gate\.demands\.0\.class: there is no class normal; there are a, b"):
        eval_config(gate({"metric": "auc", "class": "normal", "min": 1}), "tiny", ("a", "b"), code_version="")


@pytest.mark.parametrize(
    ("metric", "demanded", "message"),
    [
        ({"class_name": "NoSuchMetric"}, "no_such_metric", "TFMA cannot make no_such_metric"),
        ({"class_name": "Own", "module": "no.such.module"}, "own", "No module named 'no'"),
        ({"class_name": "ExactMatch", "config": {"wrong": 1}}, "exact_match", "wrong"),
        ({"class_name": "MultiClassConfusionMatrixPlot", "config": {"name": "x"}}, "x", "gives no number named x"),
    ],
)
def test_an_added_metric_that_cannot_be_made_is_found_before_anything_is_trained(metric: dict, demanded: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        eval_config(gate({"metric": demanded, "min": 0.0}, metrics=[metric]), "tiny", code_version="")
    assert message in str(raised.value)


def test_intervals_in_the_evaluation_are_the_metrics(judge: Judge, tmp_path: Path) -> None:
    ends = read_lower(judge, answers(LOW_ON_CLASS_2))
    interval = read_evaluation(tmp_path).classes[2].recall_interval
    assert (interval.low, interval.high) == (ends["lower"], ends["upper"])
