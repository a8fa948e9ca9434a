"""The gate, judged by TFX's real Evaluator on tiny SavedModels and TFRecords."""

from __future__ import annotations

from dataclasses import dataclass

import artifacts
import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError
from sklearn import metrics as reference

from cxr.components.metrics.evaluator_output import read_evaluation, read_validation
from cxr.components.metrics.verdicts import _bounds
from cxr.core import beam_options, features
from cxr.pipeline.demands import Demand
from cxr.pipeline.gate import Gate, eval_config

pytestmark = pytest.mark.seconds

EXAMPLES = 60


@dataclass
class Data:
    """Labels, and the logits that stand in for the pictures; one view (`ap`) has a single example, which is hard."""

    labels: np.ndarray
    logits: np.ndarray
    sex: list[str]
    examples_uri: str
    schema_uri: str

    def probabilities(self, weights: np.ndarray) -> np.ndarray:
        return tf.nn.softmax(self.logits @ weights).numpy()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    random = np.random.default_rng(0)
    labels = random.integers(0, 3, EXAMPLES)
    logits = random.normal(size=(EXAMPLES, 3)).astype(np.float32)
    logits[np.arange(EXAMPLES), labels] += 2
    logits[0] = -4 * np.eye(3)[labels[0]]
    sex = [("female", "male", features.UNKNOWN)[i] for i in random.integers(0, 3, EXAMPLES)]
    root = tmp_path_factory.mktemp("examples")
    (root / "Split-test").mkdir()

    def strings(value: str | bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode() if isinstance(value, str) else value]))

    with tf.io.TFRecordWriter(str(root / "Split-test" / "data-00000-of-00001.gz"), "GZIP") as writer:
        for i in range(EXAMPLES):
            values = {
                features.IMAGE: strings(logits[i].tobytes()),
                features.LABEL: strings(features.CLASS_NAMES[labels[i]]),
                features.PATIENT_ID: strings(f"patient{i // 2}"),
                features.SOURCE: strings("clinic"),
                features.VIEW: strings("ap" if i == 0 else "pa"),
                features.SEX: strings(sex[i]),
                features.AGE_BAND: strings(features.AGE_BANDS[i % 5]),
            }
            if i % 5 != 4:
                values[features.AGE] = tf.train.Feature(float_list=tf.train.FloatList(value=[30.0]))
            writer.write(tf.train.Example(features=tf.train.Features(feature=values)).SerializeToString())
    schema = schema_pb2.Schema()
    for name in (features.IMAGE, features.PATIENT_ID, *features.SLICE_FEATURES, features.AGE):
        kind = schema_pb2.FLOAT if name == features.AGE else schema_pb2.BYTES
        feature = schema.feature.add(name=name, type=kind)
        feature.value_count.min = feature.value_count.max = 1
        if name != features.AGE:
            feature.presence.min_fraction = 1
    schema_uri = tmp_path_factory.mktemp("schema")
    (schema_uri / "schema.pbtxt").write_text(text_format.MessageToString(schema))
    return Data(labels, logits, sex, str(root), str(schema_uri))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory):
    """Returns a function that exports softmax(logits @ weights) with the signatures of a real model, and gives its URI."""

    class Classifier(artifacts.NumbersLabels):
        def __init__(self, weights: np.ndarray):
            super().__init__()
            self.weights = tf.Variable(weights.astype(np.float32))

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=features.EXAMPLES)])
        def serve(self, examples):
            parsed = tf.io.parse_example(examples, {features.IMAGE: tf.io.FixedLenFeature([], tf.string)})
            logits = tf.reshape(tf.io.decode_raw(parsed[features.IMAGE], tf.float32), [-1, 3])
            probabilities = tf.nn.softmax(logits @ self.weights)
            names = tf.constant(features.CLASS_NAMES)
            return {
                features.PROBABILITIES: probabilities,
                features.PREDICTED_LABEL: tf.gather(names, tf.argmax(probabilities, axis=1)),
                features.OUTPUT_CLASS_NAMES: tf.repeat(names[tf.newaxis], tf.shape(logits)[0], axis=0),
            }

    def export(weights: np.ndarray) -> str:
        uri = tmp_path_factory.mktemp("model")
        module = Classifier(weights)
        signatures = {features.SIGNATURE_EXAMPLES: module.serve, features.SIGNATURE_LABELS: module.labels}
        tf.saved_model.save(module, str(uri / "Format-Serving"), signatures=signatures)
        return str(uri)

    return export


GOOD = np.eye(3)
SWAPPED = np.eye(3)[[1, 0, 2]]  # classes 0 and 1 exchanged
BROKEN = np.full((3, 3), np.nan)


@pytest.fixture(scope="module")
def evaluate(data: Data, model, tmp_path_factory: pytest.TempPathFactory):
    """Returns a function that runs TFX's Evaluator and gives what it wrote and whether it blessed."""
    from tfx.components.evaluator import executor
    from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
    from tfx.types import artifact_utils, standard_artifacts, standard_component_specs
    from tfx.utils import json_utils, proto_utils

    def artifact(kind, uri: str):
        result = kind()
        result.uri = uri
        return result

    def run(gate: Gate, candidate: np.ndarray, baseline: np.ndarray | None = None, name: str = "tiny") -> tuple[str, bool]:
        root = tmp_path_factory.mktemp("run")
        examples = artifact(standard_artifacts.Examples, data.examples_uri)
        examples.split_names = artifact_utils.encode_split_names(["test"])
        inputs = {
            standard_component_specs.EXAMPLES_KEY: [examples],
            standard_component_specs.MODEL_KEY: [artifact(standard_artifacts.Model, model(candidate))],
            standard_component_specs.SCHEMA_KEY: [artifact(standard_artifacts.Schema, data.schema_uri)],
        }
        if baseline is not None:
            inputs[standard_component_specs.BASELINE_MODEL_KEY] = [artifact(standard_artifacts.Model, model(baseline))]
        evaluation = artifact(standard_artifacts.ModelEvaluation, str(root / "evaluation"))
        blessing = artifact(standard_artifacts.ModelBlessing, str(root / "blessing"))
        config = proto_utils.proto_to_json(eval_config(gate, name, code_version=""))  # through JSON, as TFX passes it
        properties = {
            standard_component_specs.EVAL_CONFIG_KEY: config,
            standard_component_specs.EXAMPLE_SPLITS_KEY: json_utils.dumps([gate.split]),
        }
        context = BaseBeamExecutor.Context(beam_pipeline_args=list(beam_options.local(1)), tmp_dir=str(root / "tmp"), unique_id="1")
        executor.Executor(context).Do(inputs, {"evaluation": [evaluation], "blessing": [blessing]}, properties)
        return evaluation.uri, blessing.get_int_custom_property("blessed") == 1

    return run


@pytest.fixture(scope="module")
def blessed(evaluate) -> tuple[str, bool]:
    """The good model, alone, with its own accuracy as the bound, and demands that it meets."""
    gate = {
        "min_accuracy": 0.99,
        "min_accuracy_of": {"tiny": 51 / 60},
        "demands": [
            {"metric": "recall", "class": "pneumonia", "at": "lower", "min": 0.1},
            {"metric": "accuracy", "slice": "view", "min": 0.5},
            {"metric": "top_two", "min": 0.5},
            {"metric": "mean_squared_error", "max": 0.5},
        ],
        "metrics": [
            {"class_name": "SparseTopKCategoricalAccuracy", "config": {"k": 2, "name": "top_two"}},  # Keras's
            {"class_name": "MeanSquaredError", "per_class": True},  # TFMA's
        ],
    }
    return evaluate(Gate.model_validate(gate), GOOD)


def test_good_model_is_blessed_at_exactly_the_bound(blessed: tuple[str, bool]) -> None:
    uri, is_blessed = blessed
    assert is_blessed
    found = read_validation(uri)
    assert (found.blessed, found.reasons) == (True, ())
    assert read_evaluation(uri).baseline_accuracy is None


def test_demands_are_judged_by_the_evaluator_on_the_split_and_in_slices(blessed: tuple[str, bool], data: Data) -> None:
    found = {(judgement.demand, judgement.where): judgement for judgement in read_validation(blessed[0]).demands}
    interval = read_evaluation(blessed[0]).classes[1].recall_interval
    lower = found["demands.0.recall.pneumonia", None]
    assert (lower.verdict, lower.measured, lower.least) == ("met", interval.low, 0.1)
    view = {where[1]: judgement for (demand, where), judgement in found.items() if demand == "demands.1.accuracy" and where}
    assert {value: (judgement.verdict, judgement.patients) for value, judgement in view.items()} == {
        "ap": ("not judged", 1),
        "pa": ("met", 30),
    }
    assert view["ap"].measured == 0  # what was measured, not what TFMA was given
    assert found["accuracy", None].least == 51 / 60


def test_a_metric_of_tfma_is_added_with_one_line_and_can_be_demanded(blessed: tuple[str, bool], data: Data) -> None:
    added = read_evaluation(blessed[0]).added
    probabilities = data.probabilities(GOOD)
    top_two = (np.argsort(probabilities, axis=1)[:, 1:] == data.labels[:, np.newaxis]).any(axis=1).mean()
    assert added["top_two"] == pytest.approx(top_two)
    for index, name in enumerate(features.CLASS_NAMES):
        expected = reference.brier_score_loss(data.labels == index, probabilities[:, index])
        assert added[f"mean_squared_error.{name}"] == pytest.approx(expected, rel=1e-5)
    found = {judgement.demand: judgement for judgement in read_validation(blessed[0]).demands}
    assert found["demands.2.top_two"].measured == pytest.approx(top_two)
    assert found["demands.3.mean_squared_error.normal"].measured == pytest.approx(added["mean_squared_error.normal"])


def test_numbers_are_scikit_learns(blessed: tuple[str, bool], data: Data) -> None:
    evaluation = read_evaluation(blessed[0])
    probabilities = data.probabilities(GOOD)
    predicted = probabilities.argmax(axis=1)
    assert (evaluation.examples, evaluation.correct) == (EXAMPLES, int((predicted == data.labels).sum()))
    assert evaluation.accuracy == reference.accuracy_score(data.labels, predicted)
    assert evaluation.balanced_accuracy == pytest.approx(reference.balanced_accuracy_score(data.labels, predicted))
    assert evaluation.log_loss == pytest.approx(reference.log_loss(data.labels, probabilities), rel=1e-5)
    assert np.array_equal(evaluation.confusion_matrix, reference.confusion_matrix(data.labels, predicted))
    assert not np.array_equal(evaluation.confusion_matrix, np.transpose(evaluation.confusion_matrix))  # or it proves no orientation
    precision, recall, _, support = reference.precision_recall_fscore_support(data.labels, predicted)
    for index, result in enumerate(evaluation.classes):
        assert (result.name, result.examples) == (features.CLASS_NAMES[index], support[index])
        assert (result.precision, result.recall) == pytest.approx((precision[index], recall[index]))
        assert result.auc == pytest.approx(reference.roc_auc_score(data.labels == index, probabilities[:, index]), abs=2e-3)
    assert evaluation.patients == EXAMPLES // 2
    assert evaluation.change is None
    assert evaluation.accuracy_interval.low < evaluation.accuracy < evaluation.accuracy_interval.high
    for result in evaluation.classes:
        assert result.recall_interval.low < result.recall < result.recall_interval.high
        assert result.auc_interval.low < result.auc <= result.auc_interval.high
    assert evaluation.balanced_accuracy_interval.low < evaluation.balanced_accuracy < evaluation.balanced_accuracy_interval.high


def test_slices_by_raw_features(blessed: tuple[str, bool], data: Data) -> None:
    slices = {(s.feature, s.value): s for s in read_evaluation(blessed[0]).slices}
    correct = data.probabilities(GOOD).argmax(axis=1) == data.labels
    assert list(slices) == [
        *(("label", name) for name in features.CLASS_NAMES),
        ("source", "clinic"),
        ("view", "ap"),
        ("view", "pa"),
        *(("sex", name) for name in ("female", "male", "unknown")),
        *(("age_band", name) for name in features.AGE_BANDS),
    ]
    for name in ("female", "male", "unknown"):
        members = np.array(data.sex) == name
        assert (slices["sex", name].examples, slices["sex", name].correct) == (members.sum(), correct[members].sum())
    # one example, wrong: reported, and no reason to refuse
    assert (slices["view", "ap"].examples, slices["view", "ap"].accuracy) == (1, 0.0)


@pytest.mark.slow
def test_swapped_classes_are_refused_and_the_direction_of_the_comparison_is_right(evaluate) -> None:
    gate = Gate(min_accuracy=0.3, above_chance=False, tolerance=0.02, non_inferiority={"metric": "balanced_accuracy", "margin": 0.2})
    uri, is_blessed = evaluate(gate, candidate=SWAPPED, baseline=GOOD)
    found = read_evaluation(uri)
    assert found.change is not None
    assert found.baseline_accuracy is not None
    assert found.change.low < found.accuracy - found.baseline_accuracy < found.change.high < 0
    assert not is_blessed
    accuracy = read_evaluation(uri).accuracy
    assert read_evaluation(uri).baseline_accuracy == 51 / 60
    worse, inferior = sorted(read_validation(uri).reasons)
    assert worse == f"accuracy {accuracy:.3f} is {51 / 60 - accuracy:.3f} below the baseline's 0.850; 0.020 is allowed"
    assert inferior.startswith("balanced accuracy may be 0.")
    assert inferior.endswith("0.200 is allowed")

    uri, is_blessed = evaluate(gate, candidate=GOOD, baseline=SWAPPED)
    assert is_blessed
    assert read_validation(uri).reasons == ()
    assert {judgement.verdict for judgement in read_validation(uri).demands} == {"met"}
    assert (read_evaluation(uri).accuracy, read_evaluation(uri).baseline_accuracy) == (51 / 60, accuracy)


@pytest.mark.slow
def test_bound_refuses_without_baseline(evaluate) -> None:
    uri, is_blessed = evaluate(Gate(min_accuracy=0.9), GOOD)
    assert not is_blessed
    found = read_validation(uri)
    assert (found.blessed, found.reasons) == (False, ("accuracy 0.850 is below 0.900",))


@pytest.mark.slow
def test_model_that_diverged_is_refused_not_a_crash(evaluate) -> None:
    uri, is_blessed = evaluate(Gate(min_accuracy=0.0, above_chance=False), BROKEN)
    assert not is_blessed
    assert read_validation(uri).reasons == (f"{EXAMPLES} predictions are not vectors of probabilities (NaN, infinite or outside [0, 1])",)
    assert read_evaluation(uri).accuracy == 0


# === Without running the Evaluator ===


def decide(gate: Gate, accuracy: float, baseline: float | None = None) -> bool:
    """Lets TFMA's validator judge given accuracies, with the configuration as the Evaluator would complete it."""
    import tensorflow_model_analysis as tfma
    from tensorflow_model_analysis.evaluators import metrics_validator
    from tensorflow_model_analysis.metrics.metric_types import MetricKey

    config = tfma.utils.update_eval_config_with_defaults(
        eval_config(gate.model_copy(update={"above_chance": False}), "mobilenet", code_version=""),
        has_baseline=baseline is not None,
        rubber_stamp=True,
    )
    model = "" if baseline is None else "candidate"
    key = MetricKey("accuracy", model_name=model, example_weighted=None)
    measured = {key: accuracy, MetricKey("invalid_predictions", model_name=model, example_weighted=None): 0}
    if baseline is not None:
        measured[key.make_diff_key()] = accuracy - baseline
    return bool(metrics_validator.validate_metrics(((), measured), config).validation_ok)


def test_bound_of_the_model_goes_before_the_common_one() -> None:
    gate = Gate(min_accuracy=0.8, min_accuracy_of={"mobilenet": 0.7})
    assert (gate.lower_bound("mobilenet"), gate.lower_bound("ensemble")) == (0.7, 0.8)
    assert decide(gate, 14 / 20)
    assert not decide(gate, 0.69)


def test_drop_of_exactly_the_tolerance_is_allowed() -> None:
    gate = Gate(min_accuracy=0.5, tolerance=0.02)
    assert decide(gate, 0.84, baseline=0.86)
    assert not decide(gate, 0.83, baseline=0.86)
    assert not decide(gate, 0.49, baseline=0.49)  # no worse than the last one, but below the bound


def test_accuracy_that_is_not_a_number_is_refused() -> None:
    assert not decide(Gate(min_accuracy=0.0), float("nan"))


@pytest.mark.parametrize("wrong", [{"min_accuracy": 85}, {"tolerance": -0.1}, {"min_accuracy_of": {"mobilenet": 2}}, {"min_acuracy": 0.5}])
def test_impossible_bounds_and_unknown_keys_are_refused(wrong: dict) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Gate(**wrong)


def test_a_figure_that_equals_its_bound_but_for_rounding_is_met() -> None:
    config = eval_config(
        Gate(above_chance=False, demands=(Demand(metric="balanced_accuracy", min=0.7), Demand(metric="accuracy", min=0))),
        "mobilenet",
        code_version="",
    )
    bounds = [metric.per_slice_thresholds[0].threshold.value_threshold for metric in config.metrics_specs[-1].metrics]
    assert bounds[0].lower_bound.value < np.mean([0.7, 0.7, 0.7]) - 1e-16 < 0.7
    assert [str(_bounds(bound)[0]) for bound in bounds] == ["0.7", "0.0"]
