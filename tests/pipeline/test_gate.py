"""The gate, judged by TFX's real Evaluator on tiny SavedModels and TFRecords."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn import metrics as reference

from cxr.pipeline.evaluation import Evaluation, Validation, read_evaluation, read_validation
from cxr.pipeline.gate import Gate, eval_config
from cxr.trainer import features

tf = pytest.importorskip("tensorflow")

EXAMPLES = 60
BEAM_ARGS = ["--direct_running_mode=in_memory", "--direct_num_workers=1"]


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
                features.SOURCE: strings("clinic"),
                features.VIEW: strings("ap" if i == 0 else "pa"),
                features.SEX: strings(sex[i]),
                features.AGE_BAND: strings(features.AGE_BANDS[i % 5]),
            }
            if i % 5 != 4:
                values[features.AGE] = tf.train.Feature(float_list=tf.train.FloatList(value=[30.0]))
            writer.write(tf.train.Example(features=tf.train.Features(feature=values)).SerializeToString())
    schema = schema_pb2.Schema()
    for name in (features.IMAGE, *features.SLICE_FEATURES, features.AGE):
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

    class Classifier(tf.Module):
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
        tf.saved_model.save(module, str(uri / "Format-Serving"), signatures={features.SIGNATURE_EXAMPLES: module.serve})
        return str(uri)

    return export


GOOD = np.eye(3)
WORSE = np.eye(3) + np.diag([0, -1.5, 0])  # never sure of class 1
SWAPPED = np.eye(3)[[1, 0, 2]]  # classes 0 and 1 exchanged
BROKEN = np.full((3, 3), np.nan)


@pytest.fixture
def evaluate(data: Data, model, tmp_path: Path):
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
        examples = artifact(standard_artifacts.Examples, data.examples_uri)
        examples.split_names = artifact_utils.encode_split_names(["test"])
        inputs = {
            standard_component_specs.EXAMPLES_KEY: [examples],
            standard_component_specs.MODEL_KEY: [artifact(standard_artifacts.Model, model(candidate))],
            standard_component_specs.SCHEMA_KEY: [artifact(standard_artifacts.Schema, data.schema_uri)],
        }
        if baseline is not None:
            inputs[standard_component_specs.BASELINE_MODEL_KEY] = [artifact(standard_artifacts.Model, model(baseline))]
        evaluation = artifact(standard_artifacts.ModelEvaluation, str(tmp_path / "evaluation"))
        blessing = artifact(standard_artifacts.ModelBlessing, str(tmp_path / "blessing"))
        config = proto_utils.proto_to_json(eval_config(gate, name))  # through JSON, as TFX passes it
        properties = {
            standard_component_specs.EVAL_CONFIG_KEY: config,
            standard_component_specs.EXAMPLE_SPLITS_KEY: json_utils.dumps([gate.split]),
        }
        context = BaseBeamExecutor.Context(beam_pipeline_args=BEAM_ARGS, tmp_dir=str(tmp_path / "tmp"), unique_id="1")
        executor.Executor(context).Do(inputs, {"evaluation": [evaluation], "blessing": [blessing]}, properties)
        return evaluation.uri, blessing.get_int_custom_property("blessed") == 1

    return run


def test_metrics_match_scikit_learn(evaluate, data: Data):
    import time
    t=time.time()
    uri, blessed = evaluate(Gate(min_accuracy=0.6), GOOD)
    print("first", time.time()-t)
    t=time.time()
    evaluation = read_evaluation(uri)
    print("read", time.time()-t, evaluation)
    print(read_validation(uri), blessed)
    uri, blessed = evaluate(Gate(min_accuracy=0.6), SWAPPED, GOOD)
    print("second", time.time()-t)
    print(read_validation(uri), blessed)
    uri, blessed = evaluate(Gate(min_accuracy=0.6), BROKEN, GOOD)
    print("second", time.time()-t)
    print(read_validation(uri), blessed)
