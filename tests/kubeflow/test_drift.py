"""The compiled pipeline's first tasks, up to AnomalyCheck, in the simulation: three runs, the second of them on darker pictures."""

import json

import prepared
import pytest
import tensorflow as tf
import yaml
from simulator.cluster import SimulatedCluster, State

from cxr.components.drift_check.compare import NO_RUN_BEFORE
from cxr.components.drift_check.result import DRIFT
from cxr.kubeflow.cluster import Cluster
from cxr.kubeflow.pipeline_spec import tasks

TASKS = (
    *("DataFingerprint", "ImportExampleGen", "ImportSchemaGen", "StatisticsGen", "ExampleValidator"),
    *("PreviousStatistics", "DriftCheck", "AnomalyCheck"),
)
pytestmark = [pytest.mark.slow, pytest.mark.e2e]


def darker(example):
    changed = tf.train.Example.FromString(example)
    changed.features.feature["mean"].float_list.value[:] = [20.0]
    return changed.SerializeToString()


@pytest.fixture
def text(tmp_path, raw_examples, write_split, image):
    from cxr.kubeflow.compile import compile_config
    from cxr.pipeline.pipeline_config import load

    for name, examples in {"a": raw_examples, "b": [darker(example) for example in raw_examples]}.items():
        for split in ("train", "test"):
            write_split(tmp_path / name, split, examples)
    cluster = {
        "data": str(tmp_path / "a"),
        "splits": ["train", "test"],
        "serving_models": str(tmp_path / "models"),
        "volumes": [{"claim": "cxr", "mount_path": str(tmp_path)}],
    }
    compiled = compile_config(load("demo", ("drift.min_images=10", "drift.fail=true")), Cluster.model_validate(cluster), image)
    left = {name: task for name, task in tasks(compiled.spec).items() if name in TASKS}
    assert set(left) == set(TASKS)
    cached = {name for name, task in left.items() if task.get("cachingOptions", {}).get("enableCache")}
    assert not {"PreviousStatistics", "AnomalyCheck"} & cached  # they read and write the volume
    compiled.spec["root"]["dag"]["tasks"] = left
    return yaml.safe_dump_all([compiled.spec, compiled.platform])


def test_data_are_compared_with_the_last_ones_that_passed(text, tmp_path):
    cluster = SimulatedCluster(tmp_path / "cluster", start=prepared.run)

    def found(run):
        stored = cluster.objects.root / run.artifact("DriftCheck", "drift").uri.replace("://", "/")
        return json.loads((stored / DRIFT).read_text())

    first = cluster.run(text)
    assert first.succeeded, {name: task.error for name, task in first.tasks.items() if task.error}
    assert (found(first)["compared"], found(first)["note"]) == (False, NO_RUN_BEFORE)
    kept = tmp_path / "models" / "demo" / ".statistics"
    assert len(list(kept.iterdir())) == 1

    second = cluster.run(text, {"data": str(tmp_path / "b")})
    assert second.tasks["AnomalyCheck"].state is State.FAILED
    assert "mean has drifted from the previous run's data" in second.tasks["AnomalyCheck"].error
    assert {one["feature"] for one in found(second)["distances"] if one["drifted"]} == {"mean"}
    assert len(list(kept.iterdir())) == 1  # what was stopped is nobody's measure

    third = cluster.run(text)
    assert third.succeeded, {name: task.error for name, task in third.tasks.items() if task.error}
    assert found(third)["compared"] is False
