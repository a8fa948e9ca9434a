"""TFX nodes in the simulation: TFX's own entry point fails for the documented reasons, ours does not."""

import argparse
import gc
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import prepared
import pytest
import yaml
from simulator.cluster import SimulatedCluster, State
from simulator.launcher import Rule, start_afresh

from cxr.core import exit_codes
from cxr.kubeflow import entrypoint
from cxr.kubeflow.entrypoint import MODULE, parse
from cxr.kubeflow.parameters import Parameter

GEN, STATISTICS = "ImportExampleGen", "StatisticsGen"
TASK = {"inputs": {}, "outputs": {"artifacts": {}, "parameters": {}, "outputFile": "/nowhere"}}


def test_the_command_line_is_split():
    args, beam = parse(
        [
            "--executor_class_path",
            "a.B",
            "--json_serialized_invocation_args",
            "{}",
            "--cxr_merge=p/x=cxr_y",
            "--runner=FlinkRunner",
            "--cxr_shared=/s",
        ]
    )
    assert (args.executor_class_path, args.cxr_merge, args.cxr_shared) == ("a.B", ["p/x=cxr_y"], "/s")
    assert beam == ["--runner=FlinkRunner"]


@pytest.mark.slow
@pytest.mark.long  # TFX's own entry point: what ours is for, not what it does
@pytest.mark.parametrize(
    ("lifted", "failing", "message"),
    [
        ((), GEN, "Could not import system.Artifact"),
        ((Rule.EXECUTOR_LOGS,), GEN, "Unable to get filesystem from specified path"),
        ((Rule.EXECUTOR_LOGS, Rule.URIS), STATISTICS, "'NoneType' object has no attribute 'get'"),  # the empty type
    ],
    ids=["executor-logs", "minio", "empty type"],
)
def test_tfxs_own_entry_point_fails(tmp_path, records, small_pipeline, image, lifted, failing, message):
    from cxr.kubeflow.compile import compile_pipeline

    spec = compile_pipeline(small_pipeline(records), image, command=None)
    result = SimulatedCluster(tmp_path / "cluster", lifted=frozenset(lifted)).run(yaml.safe_dump(spec))
    assert result.tasks[failing].state is State.FAILED
    assert message in result.tasks[failing].error


@pytest.mark.slow
@pytest.mark.long  # TFX's own entry point: what ours is for, not what it does
def test_tfxs_own_entry_point_loses_the_data_s_fingerprint(tmp_path, records, small_pipeline, image):
    """With everything lifted it runs, but the driver's hook does not: the examples have neither span nor fingerprint."""
    from cxr.kubeflow.compile import compile_pipeline

    spec = compile_pipeline(small_pipeline(records), image, command=None)
    result = SimulatedCluster(tmp_path / "cluster", lifted=frozenset(Rule)).run(yaml.safe_dump(spec))
    assert result.succeeded
    assert not {"span", "input_fingerprint"} & set(result.artifact(GEN, "examples").metadata)


@pytest.mark.slow
def test_tfx_emits_nulls_and_ours_removes_them():
    from ml_metadata.proto import metadata_store_pb2
    from simulator.store import SimulationError, check_metadata
    from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_entrypoint_utils
    from tfx.types import standard_artifacts

    from cxr.kubeflow.executor_output import finish

    examples = standard_artifacts.Examples()
    examples.uri = "/nowhere"
    examples.mlmd_artifact.custom_properties["version"].CopyFrom(metadata_store_pb2.Value())  # unset, as drivers leave it
    from google.protobuf import json_format

    artifact = json_format.MessageToDict(kubeflow_v2_entrypoint_utils.to_runtime_artifact(examples, {}))
    with pytest.raises(SimulationError, match="null"):
        check_metadata(artifact["metadata"])
    task = {"outputs": {"artifacts": {"examples": {"artifacts": [{"uri": "/nowhere"}]}}}}
    (found,) = finish({"artifacts": {"examples": {"artifacts": [artifact]}}}, task)["artifacts"]["examples"]["artifacts"]
    check_metadata(found["metadata"])


@pytest.mark.slow
def test_changed_data_are_not_served_from_the_cache(tmp_path, records, small_pipeline, image, raw_examples, write_split):
    """On `minio://` data and an `s3://` root: nothing that the container's TensorFlow and Beam know."""
    import shutil

    from cxr.kubeflow import ir_pass
    from cxr.kubeflow.compile import compile_pipeline

    cluster = SimulatedCluster(tmp_path / "cluster", start=prepared.run)
    stored = cluster.home / "objects/minio/bucket/records"
    shutil.copytree(records, stored)
    spec = compile_pipeline(small_pipeline("minio://bucket/records"), image)
    ir_pass.add_parameter(spec, Parameter("data", "STRING", "records", GEN, "input_base"))
    ir_pass.add_fingerprint(spec, GEN, "data", image)
    ir_pass.add_data_importer(spec, (GEN, ir_pass.FINGERPRINT_TASK), "data")
    text = yaml.safe_dump(spec)

    first = cluster.run(text, pipeline_root="s3://other/prefix")
    assert first.succeeded, first.tasks
    examples = first.artifact(GEN, "examples")
    assert examples.uri.startswith("s3://other/prefix/small/")
    assert json.loads(examples.metadata["split_names"]) == ["train", "test"]
    assert examples.metadata["span"] == 0
    assert "num_files:1" in examples.metadata["input_fingerprint"]

    again = cluster.run(text, pipeline_root="s3://other/prefix")
    assert again.tasks[GEN].state is again.tasks[STATISTICS].state is State.CACHED

    write_split(stored, "train", raw_examples[:3])
    changed = cluster.run(text, pipeline_root="s3://other/prefix")
    assert changed.tasks[GEN].state is State.SUCCEEDED
    assert changed.artifact(GEN, "examples").id != examples.id


@pytest.mark.slow
def test_files_that_the_object_store_lost_end_the_task_that_reads_them(tmp_path, records, small_pipeline, image):
    """KFP's cache gives the examples out all the same; another word for `cache` makes them anew, and is remembered as KFP remembers."""
    from cxr.kubeflow import ir_pass
    from cxr.kubeflow.compile import compile_pipeline

    cluster = SimulatedCluster(tmp_path / "cluster", start=prepared.run)
    spec = compile_pipeline(small_pipeline(records), image)
    ir_pass.add_parameter(spec, Parameter("data", "STRING", "records", GEN, "input_base"))
    ir_pass.add_fingerprint(spec, GEN, "data", image)
    ir_pass.tell_usage(spec, STATISTICS)  # as Report; not cached: else it would read nothing
    ir_pass.key_cache(spec)
    text = yaml.safe_dump(spec)

    first = cluster.run(text)
    assert first.succeeded, first.tasks
    examples = first.artifact(GEN, "examples")
    stored = cluster.objects.root / examples.uri.replace("://", "/")
    (shard,) = (stored / "Split-test").iterdir()
    shard.unlink()
    outputs = first.tasks[GEN].outputs
    assert outputs is not None
    used = json.loads(outputs.parameters["cxr_usage"])
    assert (used["node"], used["run"]) == (GEN, examples.uri.split("/")[-4])
    assert used["seconds"] > 0
    assert used["peak_memory"] > 50_000_000  # TFX alone

    harmed = cluster.run(text)
    assert harmed.tasks[GEN].state is State.CACHED
    assert harmed.tasks[STATISTICS].state is State.FAILED
    said = harmed.tasks[STATISTICS].error
    assert f"input examples: {examples.uri} is no longer what {GEN} wrote: Split-test/{shard.name} is missing" in said
    assert "cache=2" in said
    assert "Traceback" not in said

    remedied = cluster.run(text, {"cache": "2"})
    assert remedied.succeeded, remedied.tasks
    assert remedied.tasks[GEN].state is State.SUCCEEDED
    assert cluster.run(text, {"cache": "2"}).tasks[GEN].state is State.CACHED


@pytest.mark.slow
def test_a_failing_executor_stops_the_run(tmp_path, records, small_pipeline, image):
    from cxr.kubeflow.compile import compile_pipeline

    for file in (records / "train").iterdir():
        file.write_bytes(b"no TFRecord")
    result = SimulatedCluster(tmp_path / "cluster", start=prepared.run).run(
        yaml.safe_dump(compile_pipeline(small_pipeline(records), image))
    )
    assert not result.succeeded
    assert result.tasks[GEN].state is State.FAILED
    assert result.tasks[STATISTICS].state is State.NOT_STARTED


@pytest.mark.slow
def test_examples_without_split_names_end_statistics_with_a_remedy(tmp_path, records, image):
    """Imported by somebody who did not state them."""
    import shutil

    from tfx import v1 as tfx
    from tfx.types import standard_artifacts

    from cxr.kubeflow.compile import compile_pipeline

    cluster = SimulatedCluster(tmp_path / "cluster", start=prepared.run)
    for split in ("train", "test"):
        shutil.copytree(records / split, cluster.home / "objects/minio/bucket/examples" / f"Split-{split}")
    examples = tfx.dsl.Importer("minio://bucket/examples", artifact_type=standard_artifacts.Examples).with_id("Examples")
    statistics = tfx.components.StatisticsGen(examples=examples.outputs["result"])
    pipeline = tfx.dsl.Pipeline("small", "minio://unused", components=[examples, statistics], enable_cache=True)
    result = cluster.run(yaml.safe_dump(compile_pipeline(pipeline, image)))
    assert result.tasks[STATISTICS].state is State.FAILED
    assert "input examples: its metadata lack split_names" in result.tasks[STATISTICS].error
    assert "Traceback" not in result.tasks[STATISTICS].error


@pytest.mark.slow
def test_a_shared_folder_on_a_gs_root(tmp_path, records, small_pipeline, image):
    """What Beam's workers would see: inputs and outputs in the shared folder, which is empty again afterwards.

    StatisticsGen's process is started afresh, as a container's is.
    """
    from cxr.kubeflow import ir_pass
    from cxr.kubeflow.compile import compile_pipeline

    def start(command, **where):
        return (start_afresh if any(STATISTICS in word for word in command) else prepared.run)(command, **where)

    shared = tmp_path / "shared"
    spec = compile_pipeline(small_pipeline(records), image)
    ir_pass.share_with_workers(spec, str(shared))
    result = SimulatedCluster(tmp_path / "cluster", start=start).run(yaml.safe_dump(spec), pipeline_root="gs://bucket/prefix")
    assert result.succeeded, result.tasks
    outputs = result.tasks[GEN].outputs
    assert outputs is not None
    assert f"{shared}/" in outputs.log  # the executor's URIs
    statistics = result.artifact(STATISTICS, "statistics")
    assert statistics.uri.startswith("gs://bucket/prefix/small/")
    stored = tmp_path / "cluster/objects" / statistics.uri.replace("://", "/")
    assert {path.name for path in stored.iterdir()} == {"Split-train", "Split-test"}
    assert not list(shared.iterdir())


class Package(ModuleType):
    """In place of one of TFX's; notes whether Python looks for garbage when its module is imported."""

    def __init__(self, name: str, module: str, content: object):
        super().__init__(name)
        self.given = {module: content}
        self.looked: list[bool] = []

    def __getattr__(self, name: str) -> object:
        if name not in self.given:
            raise AttributeError(name)
        self.looked.append(gc.isenabled())
        return self.given[name]


@pytest.mark.slow
def test_tfx_is_imported_without_looking_for_garbage(tmp_path, monkeypatch):
    """As `cxr kubeflow compile` imports it, and for its reason (test_compile.py)."""

    def execute(given):
        Path(json.loads(given[0].json_serialized_invocation_args)["outputs"]["outputFile"]).write_text("{}")

    container = Package("tfx.orchestration.kubeflow.v2.container", "kubeflow_v2_run_executor", SimpleNamespace(main=execute))
    base = Package("tfx.dsl.components.base", "base_beam_executor", SimpleNamespace(BaseBeamExecutor=Path))
    own = Package("made_up", "Executor", type(tmp_path))
    for package in (container, base, own):
        monkeypatch.setitem(sys.modules, package.__name__, package)
    args = argparse.Namespace(executor_class_path="a.B", json_serialized_inputs_spec_args="")
    task = {"inputs": {"parameterValues": {}}, "outputs": {"outputFile": "/nowhere"}}
    assert entrypoint._run_executor(args, [], task, str(tmp_path)) == {}
    assert entrypoint._uses_beam("made_up.Executor")
    assert (container.looked, base.looked, own.looked, gc.isenabled()) == ([False], [False], [False], True)


@pytest.mark.slow
def test_sigterm_ends_a_task_with_a_word_and_its_scratch_folder(tmp_path):
    """As Kubernetes sends it before it kills: here while the task imports TFX."""
    command = [sys.executable, "-m", MODULE, "--executor_class_path", "a.B", "--json_serialized_invocation_args", json.dumps(TASK)]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as task:
        maps, deadline = Path(f"/proc/{task.pid}/maps"), time.monotonic() + 120
        while "/tensorflow/" not in maps.read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert list(tmp_path.glob("cxr-*"))
        task.send_signal(signal.SIGTERM)
        assert task.stderr is not None
        said = task.stderr.read()
        assert task.wait(60) == exit_codes.TERMINATED
    assert said.endswith("a.B: ended by SIGTERM; the task can be tried again\n")
    assert list(tmp_path.glob("cxr-*")) == []
