"""The Beam-based nodes of the pipeline's own graph on a cluster, processes of it killed meanwhile, make what the local run makes."""

from importlib import metadata as packages
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chain import Silent

from cxr.core import features

pytestmark = pytest.mark.slow
EVALUATORS = ("Evaluator-brightness", "Evaluator-joined")  # ids that are none of the graph's
BEAM_NODES = ("ImportExampleGen", "StatisticsGen", "ExampleValidator", "Transform", *EVALUATORS)
NODES = {*BEAM_NODES, "ImportSchemaGen", "PreviousStatistics", "DriftCheck", "AnomalyCheck"}
SPLITS = ("train", "test")
FLOATS = 1e-6  # relative: sums of floats are taken in another order


@pytest.fixture(scope="module")
def records(tmp_path_factory, raw_examples):
    """Every example ten times, under other patients and hashes."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("records")
    for offset, split in enumerate(SPLITS):
        (folder / split).mkdir()
        for shard in range(2):
            with tf.io.TFRecordWriter(str(folder / split / f"{shard}.tfrecord.gz"), "GZIP") as writer:
                for copy in range(5):
                    for number, raw in enumerate(raw_examples):
                        example = tf.train.Example.FromString(raw)
                        name = f"{offset}{shard}{copy}{number // 2:02}"
                        example.features.feature["patient_id"].bytes_list.value[:] = [name.encode()]
                        example.features.feature["content_hash"].bytes_list.value[:] = [f"{name}{number:059}".encode()]
                        writer.write(example.SerializeToString())
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A SavedModel whose answers hang on the brightness."""
    import tensorflow as tf

    class Brightness(tf.Module):
        def __init__(self):
            super().__init__()
            self.table = tf.lookup.StaticHashTable(
                tf.lookup.KeyValueTensorInitializer(["covid19", "pneumonia", "normal"], tf.constant([0, 1, 2], tf.int64)), -1
            )

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
        def serve(self, examples):
            mean = tf.io.parse_example(examples, {"mean": tf.io.FixedLenFeature([1], tf.float32)})["mean"] / 60
            return {features.PROBABILITIES: tf.nn.softmax(-tf.abs(mean - tf.constant([[1.0, 2.4, 2.9]])))}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
        def labels(self, examples):
            label = tf.io.parse_example(examples, {features.LABEL: tf.io.FixedLenFeature([1], tf.string)})[features.LABEL]
            return {features.LABEL_INDEX: self.table.lookup(label)}

    folder, module = tmp_path_factory.mktemp("model"), Brightness()
    signatures = {features.SIGNATURE_EXAMPLES: module.serve, features.SIGNATURE_LABELS: module.labels}
    tf.saved_model.save(module, str(folder / "Format-Serving"), signatures=signatures)
    return folder


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    """An ensemble of that model and itself, without a SavedModel: it can only be evaluated by what its members have answered."""
    from cxr.trainer import artifact, files, model_info
    from cxr.trainer.ensemble.joining import joint_layers
    from cxr.trainer.ensemble.voting import WeightedVote

    folder = tmp_path_factory.mktemp("ensemble")
    info = {"name": "ensemble", "class_names": list(features.CLASS_NAMES), "image_size": 32}
    model_info.write_info(artifact.serving_dir(str(folder)), info)
    joined = joint_layers(WeightedVote([0.75, 0.25]), members=2, classes=len(features.CLASS_NAMES))
    files.make_parent(artifact.joint_path(str(folder)))
    joined.save(artifact.joint_path(str(folder)))
    return folder


@pytest.fixture(scope="module")
def run(records, model, ensemble):
    """Returns a function that runs the nodes with options of Beam: what each made."""
    from tfx import v1 as tfx
    from tfx.orchestration import metadata

    from cxr.components.evaluator.component import Evaluator
    from cxr.pipeline.gate import eval_config
    from cxr.pipeline.graph import RunPaths, create_pipeline
    from cxr.pipeline.local_runner import WatchedDagRunner
    from cxr.pipeline.pipeline_config import load
    from cxr.pipeline.schema import curated_schema, write_schema

    def make(home, options):
        config = load(
            "demo", ["gate.min_accuracy=0", "gate.above_chance=false", "gate.shortcut_margin=null", "gate.split=test", "image_size=32"]
        )
        paths = RunPaths(
            data=str(records),
            splits=SPLITS,
            schema_file=str(write_schema(curated_schema(config.class_names), home / "schema")),
            pipeline_root=str(home / "root"),
            serving_models=str(home / "models"),
            metadata=metadata.sqlite_metadata_connection_config(str(home / "metadata.db")),
            beam=tuple(options),
        )
        nodes = {node.id: node for node in create_pipeline(config, paths).components if node.id in NODES}
        for node in nodes.values():
            node.downstream_nodes.intersection_update(nodes.values())  # TFX compiles no graph whose nodes name others
        evaluators: list[Any] = []
        members: list[Any] = []
        for name, folder in (("brightness", model), ("joined", ensemble)):
            properties = {"tfx_version": packages.version("tfx")}
            kind = tfx.types.standard_artifacts.Model
            trained = tfx.dsl.Importer(str(folder), artifact_type=kind, custom_properties=properties).with_id(f"Trainer-{name}")
            evaluator = Evaluator(
                examples=nodes["ImportExampleGen"].outputs["examples"],
                model=trained.outputs["result"],
                baseline_model=None,
                example_splits=["test"],
                eval_config=eval_config(config.gate, name, config.class_names, code_version=""),
                schema=nodes["ImportSchemaGen"].outputs["schema"],
                members=members,
            ).with_id(f"Evaluator-{name}")
            members = [evaluator.outputs["evaluation"]] * 2
            evaluators += [trained, evaluator]
        part = tfx.dsl.Pipeline(
            pipeline_name="demo",
            pipeline_root=paths.pipeline_root,
            components=[*nodes.values(), *evaluators],
            metadata_connection_config=paths.metadata,
            beam_pipeline_args=list(paths.beam),
        )
        results = WatchedDagRunner(Silent()).run(part)
        assert {name: result.error for name, result in results.items() if result.state != "done"} == {}
        return {(name, key): Path(value[0].uri) for name in BEAM_NODES for key, value in results[name].outputs.items()}

    return make


@pytest.fixture(scope="module")
def local(run, tmp_path_factory):
    from cxr.core.beam_options import local as options

    return run(tmp_path_factory.mktemp("local"), options(1))


def test_two_killed_processes_change_nothing(cluster, run, local, tmp_path_factory):
    before = set(cluster.jobs())
    with cluster.losing(2) as noticed:
        found = run(tmp_path_factory.mktemp(cluster.name), cluster.options)
    jobs = {job: state for job, state in cluster.jobs().items() if job not in before}
    assert set(jobs.values()) == {"FINISHED"}
    assert len(jobs) >= 5  # examples, statistics, Transform, two evaluations
    assert len(noticed) == 2
    assert all(noticed.values()), noticed

    compare(local, found)


def compare(local, found):
    """Asserts that two runs made the same."""
    for split in SPLITS:
        here, there = (examples(one["ImportExampleGen", "examples"] / f"Split-{split}") for one in (local, found))
        assert len(here) == 120
        assert here == there
        same(*(statistics(one["StatisticsGen", "statistics"] / f"Split-{split}") for one in (local, found)))
        same(*(anomalies(one["ExampleValidator", "anomalies"] / f"Split-{split}") for one in (local, found)))
    raw = examples(local["ImportExampleGen", "examples"] / "Split-test")[:24]
    here, there = (transformed(one["Transform", "transform_graph"], raw) for one in (local, found))
    assert here.keys() == there.keys()
    for name in here:
        np.testing.assert_array_equal(here[name], there[name])
    for evaluator in EVALUATORS:
        here, there = (metrics(one[evaluator, "evaluation"]) for one in (local, found))
        assert len(here) > 1  # slices
        same(here, there)
        assert [sorted(path.name for path in one[evaluator, "blessing"].iterdir()) for one in (local, found)] == [["BLESSED"]] * 2


def examples(folder):
    """All records, sorted: the order is the engine's, and within a record the order of its features."""
    import tensorflow as tf

    files = sorted(str(path) for path in folder.glob("*.gz"))
    found = (tf.train.Example.FromString(record.numpy()) for record in tf.data.TFRecordDataset(files, compression_type="GZIP"))
    return sorted(example.SerializeToString(deterministic=True) for example in found)


def statistics(folder):
    import tensorflow_data_validation as tfdv
    from google.protobuf.json_format import MessageToDict

    found = tfdv.load_stats_binary(str(folder / "FeatureStats.pb"))
    for dataset in found.datasets:
        dataset.features.sort(key=lambda feature: feature.path.step[0])  # their order is the engine's
        dataset.cross_features.sort(key=str)
    return MessageToDict(found)


def anomalies(folder):
    from google.protobuf.json_format import MessageToDict
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    return MessageToDict(anomalies_pb2.Anomalies.FromString((folder / "SchemaDiff.pb").read_bytes()))


def transformed(folder, raw):
    import tensorflow as tf
    import tensorflow_transform as tft

    output = tft.TFTransformOutput(str(folder))
    parsed = tf.io.parse_example(raw, output.raw_feature_spec())
    return {
        name: (value.values if isinstance(value, tf.SparseTensor) else value).numpy()
        for name, value in output.transform_features_layer()(parsed).items()
    }


def metrics(folder):
    import tensorflow_model_analysis as tfma

    found = {}
    for record in tfma.load_metrics(str(folder)):
        key = tuple((one.column, one.bytes_value or one.int64_value or one.float_value) for one in record.slice_key.single_slice_keys)
        found[str(key)] = {one.key.name: one.value.WhichOneof("type") and plain(one.value) for one in record.metric_keys_and_values}
    return found


def plain(value):
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(value)


def same(here, there, where=""):
    """Compares what protos hold; floats to `FLOATS`."""
    if isinstance(here, dict):
        assert here.keys() == there.keys(), where
        for key in here:
            same(here[key], there[key], f"{where}/{key}")
    elif isinstance(here, list):
        assert len(here) == len(there), where
        for number, pair in enumerate(zip(here, there, strict=True)):
            same(*pair, f"{where}/{number}")
    elif isinstance(here, float):
        assert here == pytest.approx(there, rel=FLOATS, nan_ok=True), where
    else:
        assert here == there, where
