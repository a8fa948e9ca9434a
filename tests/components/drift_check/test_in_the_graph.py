"""The nodes of the pipeline's own graph up to AnomalyCheck, run three times through ML Metadata."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from chain import Silent
from tfx import v1 as tfx
from tfx.orchestration import metadata

from cxr.components.drift_check.compare import NO_RUN_BEFORE
from cxr.pipeline.graph import RunPaths, create_pipeline
from cxr.pipeline.local_runner import WatchedDagRunner
from cxr.pipeline.pipeline_config import load
from cxr.pipeline.schema import curated_schema, write_schema

pytestmark = pytest.mark.slow
NODES = {"ImportExampleGen", "ImportSchemaGen", "StatisticsGen", "ExampleValidator", "PreviousStatistics", "DriftCheck", "AnomalyCheck"}


def darker(example):
    changed = tf.train.Example.FromString(example)
    changed.features.feature["mean"].float_list.value[:] = [float(np.float32(20))]
    return changed.SerializeToString()


def write_split(folder, split, examples):
    (folder / split).mkdir(parents=True)
    with tf.io.TFRecordWriter(str(folder / split / "examples.tfrecord.gz"), "GZIP") as writer:
        for example in examples:
            writer.write(example)


def test_a_run_is_compared_with_the_last_one_whose_data_passed(tmp_path, raw_examples):
    for name, examples in {"a": raw_examples, "b": [darker(example) for example in raw_examples]}.items():
        for split in ("train", "test"):
            write_split(tmp_path / name, split, examples)

    def run(data, *overrides):
        config = load("demo", ("drift.min_images=10", *overrides))
        paths = RunPaths(
            data=str(tmp_path / data),
            splits=("train", "test"),
            schema_file=str(write_schema(curated_schema(config.class_names), tmp_path / "schema")),
            pipeline_root=str(tmp_path / "root"),
            serving_models=str(tmp_path / "models"),
            metadata=metadata.sqlite_metadata_connection_config(str(tmp_path / "metadata.db")),
        )
        nodes = [node for node in create_pipeline(config, paths).components if node.id in NODES]
        for node in nodes:
            node.downstream_nodes.intersection_update(nodes)  # TFX compiles no graph whose nodes name others
        part = tfx.dsl.Pipeline(
            pipeline_name="demo",
            pipeline_root=paths.pipeline_root,
            components=nodes,
            enable_cache=True,
            metadata_connection_config=paths.metadata,
            beam_pipeline_args=list(config.beam.arguments()),
        )
        results = WatchedDagRunner(Silent()).run(part)
        (found,) = results["DriftCheck"].outputs["drift"]
        return results, json.loads((Path(found.uri) / "drift.json").read_text())

    first, found = run("a")
    assert first["AnomalyCheck"].state == "done", first
    assert (found["compared"], found["note"]) == (False, NO_RUN_BEFORE)

    stopped, found = run("b", "drift.fail=true")
    assert stopped["AnomalyCheck"].state == "failed"
    assert "mean has drifted from the previous run's data, split train: Jensen-Shannon" in stopped["AnomalyCheck"].error
    assert "drift.fail=false goes on all the same" in stopped["AnomalyCheck"].error
    assert {one["feature"] for one in found["distances"] if one["drifted"]} == {"mean"}

    again, found = run("b")  # what was stopped did not become the measure
    assert {one["feature"] for one in found["distances"] if one["drifted"]} == {"mean"}
    assert again["AnomalyCheck"].state == "done"

    same, _ = run("b")
    assert {same[name].state for name in ("StatisticsGen", "DriftCheck", "AnomalyCheck")} == {"cached"}

    back, found = run("a")
    assert {one["feature"] for one in found["distances"] if one["drifted"]} == {"mean"}
    assert back["AnomalyCheck"].state == "done"
