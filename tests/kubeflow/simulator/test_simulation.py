"""The simulation's rules, shown with containers of a few lines."""

import json
from typing import Any

import pytest
import yaml

from cxr.kubeflow.ir_pass import push_blessed_only
from simulator.cluster import SimulatedCluster, State
from simulator.store import SimulationError

MODEL = {"instanceSchema": "title: tfx.Model\n"}

# Reads the ExecutorInput as `task`, the first output's local path as `path`, and reports with `say`.
PRELUDE = """
import json, os, pathlib, sys
task = json.loads(sys.argv[1])
def local(uri):
    return pathlib.Path(os.environ["CXR_KUBEFLOW_ROOT"] + "/" + uri.replace("://", "/"))
def say(text):
    file = pathlib.Path(task["outputs"]["outputFile"]); file.parent.mkdir(parents=True, exist_ok=True); file.write_text(text)
def metadata(value):
    say(json.dumps({"artifacts": {"model": {"artifacts": [{"metadata": value}]}}}))
out = task["outputs"]["artifacts"]["model"]["artifacts"][0]
path = local(out["uri"])
"""


def node(code, *, inputs=(), parameters=None, upstream=(), **task):
    """A task with the output `model`, and what it runs."""
    return {"code": code, "inputs": inputs, "parameters": parameters or {}, "upstream": upstream, "task": task}


def pipeline(nodes, root=None):
    spec: dict[str, Any] = {
        "schemaVersion": "2.1.0",
        "pipelineInfo": {"name": "small"},
        "root": {"inputDefinitions": {"parameters": root or {}}, "dag": {"tasks": {}}},
        "components": {},
        "deploymentSpec": {"executors": {}},
    }
    for name, given in nodes.items():
        artifacts = {f"from-{upstream}": upstream for upstream in given["inputs"]}
        spec["components"][name] = {
            "executorLabel": name,
            "inputDefinitions": {"parameters": {key: {"parameterType": kind} for key, (kind, _) in given["parameters"].items()}},
            "outputDefinitions": {"artifacts": {"model": {"artifactType": MODEL}}},
        }
        spec["deploymentSpec"]["executors"][name] = {
            "container": {"image": "i", "command": ["python", "-c", PRELUDE + given["code"]], "args": ["{{$}}"]}
        }
        spec["root"]["dag"]["tasks"][name] = {
            "componentRef": {"name": name},
            "dependentTasks": [*given["inputs"], *given["upstream"]],
            "inputs": {
                "artifacts": {
                    key: {"taskOutputArtifact": {"producerTask": upstream, "outputArtifactKey": "model"}}
                    for key, upstream in artifacts.items()
                },
                "parameters": {key: source for key, (_, source) in given["parameters"].items()},
            },
            **given["task"],
        }
    return yaml.safe_dump(spec)


@pytest.fixture
def cluster(tmp_path):
    return SimulatedCluster(tmp_path)


def state(cluster, code):
    result = cluster.run(pipeline({"a": node(code)}))
    return result.tasks["a"]


def test_only_the_outputs_parents_exist_and_logs_are_an_output_more(cluster):
    done = state(cluster, "assert path.parent.is_dir() and not path.exists() and 'executor-logs' in task['outputs']['artifacts']")
    assert done.state is State.SUCCEEDED, done.error


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("sys.exit('broken')", "exit status 1"),
        ("metadata({'span': None})", "null values are not supported"),
        ("say('{\"artefacts\": {}}')", "artefacts"),
        ("say(json.dumps({'artifacts': {'other': {'artifacts': [{}]}}}))", "not an output"),
    ],
)
def test_what_the_launcher_refuses(cluster, code, message):
    done = state(cluster, code)
    assert done.state is State.FAILED
    assert message in done.error


def test_a_killed_task_is_retried_with_the_same_input_and_finds_what_it_left(tmp_path):
    code = """
import time
half = path.with_name("half")  # the task is killed as soon as its output is there: whole, or not at all
half.mkdir(parents=True, exist_ok=True)
(half / "0").write_text(out["uri"])
(half / "0").rename(path / "1") if path.exists() else half.rename(path)
time.sleep(0 if (path / "1").exists() else 60)
"""
    cluster = SimulatedCluster(tmp_path, killed={"a": "model"})
    task = cluster.run(pipeline({"a": node(code, retryPolicy={"maxRetryCount": 1})})).tasks["a"]
    assert task.outputs is not None, task.error
    assert task.outputs.attempts == 2
    stored = tmp_path / "objects" / cluster.metadata.artifacts[task.outputs.artifacts["model"]].uri.replace("://", "/")
    assert len({(stored / name).read_text() for name in "01"}) == 1

    cluster.killed["a"] = "model"
    assert "exit status -9" in cluster.run(pipeline({"a": node(code)})).tasks["a"].error


def test_the_round_trip_of_an_artifact(cluster):
    """Files come, empty folders do not; the type is lost, numbers are doubles, lists and structs are wrapped."""
    first = """
(path / "full").mkdir(parents=True); (path / "full/file").write_text("x"); (path / "empty").mkdir()
metadata({"blessed": 1, "names": ["a"], "nested": {"b": 2}})
"""
    second = """
(given,) = task["inputs"]["artifacts"]["from-a"]["artifacts"]
assert given["type"] == {"instanceSchema": ""}
assert given["name"].isdigit() and {"display_name", "store_session_info"} <= set(given["metadata"])
assert given["metadata"]["names"] == {"list": ["a"]} and given["metadata"]["nested"] == {"struct": {"b": 2}}
there = local(given["uri"])
assert (there / "full/file").read_text() == "x" and not (there / "empty").exists()
"""
    result = cluster.run(pipeline({"a": node(first), "b": node(second, inputs=["a"])}))
    assert result.succeeded, result.tasks["b"].error


def test_containers_share_nothing(cluster):
    code = "assert not list(pathlib.Path('.').glob('left*')); pathlib.Path('left').touch()"
    result = cluster.run(pipeline({"a": node(code), "b": node(code, upstream=["a"])}))
    assert result.succeeded


def test_a_failure_stops_the_run(cluster):
    result = cluster.run(pipeline({"a": node("sys.exit(3)"), "b": node("", upstream=["a"]), "c": node("", upstream=["b"])}))
    assert not result.succeeded
    assert result.in_state(State.NOT_STARTED) == {"b", "c"}


def test_a_condition_skips_what_follows(cluster):
    policy = {"condition": "inputs.artifacts['from-a'].artifacts[0].metadata['blessed'] == 1.0"}
    nodes = {
        "a": node("metadata({'blessed': 0})"),
        "b": node("", inputs=["a"], triggerPolicy=policy),
        "c": node("", inputs=["b"]),
    }
    result = cluster.run(pipeline(nodes))
    assert result.in_state(State.SKIPPED) == {"b", "c"}


@pytest.mark.parametrize(("gate", "infra", "state"), [(1, 1, State.SUCCEEDED), (0, 1, State.SKIPPED), (1, 0, State.SKIPPED)])
def test_the_push_of_a_refused_model_is_skipped(cluster, gate, infra, state):
    nodes = {
        "Evaluator": node(f"metadata({{'blessed': {gate}}})"),
        "InfraCheck": node(f"metadata({{'blessed': {infra}}})"),
        "Pusher": node("", inputs=["Evaluator", "InfraCheck"]),
    }
    text = pipeline(nodes).replace("from-Evaluator", "model_blessing").replace("from-InfraCheck", "infra_blessing")
    spec = yaml.safe_load(text)
    push_blessed_only(spec)
    result = cluster.run(yaml.safe_dump(spec))
    assert result.succeeded, result.tasks["Pusher"].error
    assert result.tasks["Pusher"].state is state


def test_the_cache_looks_at_parameters_and_inputs_not_at_data(cluster, tmp_path):
    data = tmp_path / "data"
    data.write_text("1")
    parameters = {"version": ("STRING", {"componentInputParameter": "version"})}
    caching = {"cachingOptions": {"enableCache": True}}
    text = pipeline(
        {
            "a": node(f"path.mkdir(); (path / 'copy').write_text(open({str(data)!r}).read())", parameters=parameters, **caching),
            "b": node("", inputs=["a"], **caching),
        },
        root={"version": {"parameterType": "STRING", "defaultValue": "1"}},
    )
    assert cluster.run(text).in_state(State.SUCCEEDED) == {"a", "b"}
    data.write_text("2")
    assert cluster.run(text).in_state(State.CACHED) == {"a", "b"}  # the trap that the fingerprint avoids
    assert cluster.run(text, {"version": "2"}).in_state(State.SUCCEEDED) == {"a", "b"}


@pytest.mark.parametrize(
    ("given", "message"), [({"version": 2}, "not of type STRING"), ({"other": "x"}, "unknown parameters"), ({}, "no value and no default")]
)
def test_parameters_are_checked(cluster, given, message):
    text = pipeline({"a": node("")}, root={"version": {"parameterType": "STRING"}})
    with pytest.raises(SimulationError, match=message):
        cluster.run(text, given)


@pytest.mark.parametrize(("uri", "good"), [("s3://bucket/data", True), ("/mnt/data", False)])
def test_importers_know_object_stores_only(cluster, uri, good):
    spec = yaml.safe_load(pipeline({"a": node("")}))
    spec["deploymentSpec"]["executors"]["a"] = {"importer": {"artifactUri": {"constant": uri}, "typeSchema": MODEL}}
    assert cluster.run(json.dumps(spec)).succeeded is good


def test_resolvers_are_refused(cluster):
    spec = yaml.safe_load(pipeline({"a": node("")}))
    spec["deploymentSpec"]["executors"]["a"] = {"resolver": {}}
    assert "resolver not implemented" in cluster.run(json.dumps(spec)).tasks["a"].error


def test_other_schema_versions_and_roots_are_refused(cluster):
    spec = yaml.safe_load(pipeline({"a": node("")}))
    with pytest.raises(SimulationError, match="unknown scheme"):
        cluster.run(json.dumps(spec), pipeline_root="/mnt/root")
    spec["schemaVersion"] = "2.0.0"
    with pytest.raises(SimulationError, match="not supported"):
        cluster.run(json.dumps(spec))
