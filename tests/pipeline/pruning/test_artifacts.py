"""Real runs through ML Metadata, some pruned, and run again: nothing that has gone is taken for a cache hit."""

import json
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from chain import Silent
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as proto
from tfx import v1 as tfx
from tfx.orchestration import metadata

from cxr.core.errors import CxrError
from cxr.pipeline.local_runner import WatchedDagRunner
from cxr.pipeline.metadata_file import prepare
from cxr.pipeline.pruning.artifacts import Artifacts
from cxr.pipeline.pruning.keep import Kept
from cxr.pipeline.pruning.prune import Pruner
from cxr.pipeline.workspace import Workspace

pytestmark = pytest.mark.slow  # see test_local_runner.py
String = tfx.types.standard_artifacts.String


@tfx.dsl.components.component
def Make(text: tfx.dsl.components.Parameter[str], made: tfx.dsl.components.OutputArtifact[String]):
    made.value = text


@tfx.dsl.components.component
def Use(made: tfx.dsl.components.InputArtifact[String], used: tfx.dsl.components.OutputArtifact[String]):
    used.value = made.value + "!"


@tfx.dsl.components.component
def Die(made: tfx.dsl.components.OutputArtifact[tfx.types.standard_artifacts.Model]):
    Path(made.uri, "half").write_text("x" * 1000)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path, "small")


@pytest.fixture
def run(workspace):
    def start(text):
        make = Make(text=text)
        results = launched(workspace, [make, Use(made=make.outputs["made"])])
        return [result.state for result in results.values()], [Path(result.outputs[name][0].uri) for result, name in _outputs(results)]

    return start


def launched(workspace, components):
    pipeline = tfx.dsl.Pipeline(
        pipeline_name="small",
        pipeline_root=str(workspace.pipeline_root),
        components=components,
        enable_cache=True,
        metadata_connection_config=metadata.sqlite_metadata_connection_config(str(workspace.metadata)),
    )
    folder = workspace.new_run()
    folder.mkdir(parents=True)
    results = WatchedDagRunner(Silent()).run(pipeline)
    (folder / "report.json").write_text(json.dumps({"pipeline": "small", "models": {}}))
    return results


def _outputs(results):
    return zip(results.values(), ("made", "used"), strict=True)


def prune(workspace, keep):
    pruner = Pruner(workspace, keep, {})
    plan = pruner.plan()
    pruner.carry_out(plan)
    return plan


def test_a_run_after_a_prune(workspace, run):
    _, first = run("a")
    _, second = run("b")
    assert run("a") == (["cached", "cached"], first)  # the newest run uses what the oldest made

    plan = prune(workspace, 1)
    assert sorted(one.folder for one in plan.artifacts) == sorted(path.parent for path in second)
    assert [path.exists() for path in (*first, *second)] == [True, True, False, False]
    assert len(list(workspace.runs.iterdir())) == 1

    assert run("a")[0] == ["cached", "cached"]
    states, again = run("b")
    assert states == ["done", "done"]
    assert [path.read_text() for path in again] == ["b", "b!"]
    assert not set(again) & set(second)
    assert run("b") == (["cached", "cached"], again)


def test_a_prune_that_was_killed_is_ended_by_the_next(workspace, run, monkeypatch):
    _, first = run("a")
    run("b")
    monkeypatch.setattr("cxr.pipeline.pruning.artifacts.shutil.rmtree", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        prune(workspace, 1)
    monkeypatch.undo()
    assert all(path.exists() for path in first)
    assert run("a")[0] == ["done", "done"]  # marked: not believed any more
    prune(workspace, 1)
    assert not any(path.exists() for path in first)
    assert run("a")[0] == ["cached", "cached"]


def test_what_a_killed_node_left_goes_and_nothing_of_the_others(workspace, run):
    _, kept = run("a")
    (killed,) = launched(workspace, [Die()]).values()
    assert killed.state == "failed"
    (half,) = workspace.pipeline_root.glob("Die/made/*/half")
    before = {path for path in workspace.pipeline_root.rglob("*") if path.is_dir() and "Die" not in path.parts}

    pruner = Pruner(workspace, 9, {})
    plan = pruner.plan()
    number = half.parent.name
    system = workspace.pipeline_root / "Die" / ".system"
    assert [*plan.left_over][:2] == [half.parent, system / "executor_execution" / number]
    assert [folder.parent for folder in [*plan.left_over][2:]] == [system / "stateful_working_dir"]
    assert plan.left_over[half.parent] == plan.size == 1000
    assert not plan.empty
    assert half.exists()  # a plan removes nothing
    before_looking = workspace.metadata.read_bytes()
    workspace.metadata.chmod(0o444)
    assert Pruner(workspace, 9, {}, dry=True).plan() == plan
    workspace.metadata.chmod(0o644)
    assert workspace.metadata.read_bytes() == before_looking
    pruner.carry_out(plan)
    assert [*workspace.pipeline_root.glob("Die/*/*"), *system.glob("*/*")] == [*system.glob("*")]
    assert {path for path in workspace.pipeline_root.rglob("*") if path.is_dir() and "Die" not in path.parts} == before
    assert Pruner(workspace, 9, {}).plan().empty
    assert run("a") == (["cached", "cached"], kept)


def test_a_new_metadata_db_does_not_cost_what_reports_name(workspace, run):
    _, (made, used) = run("a")
    (report,) = workspace.runs.glob("*/report.json")
    report.write_text(json.dumps({"pipeline": "small", "models": {}, "examples_uri": str(made.parent)}))
    workspace.metadata.unlink()
    prepare(workspace.metadata, workspace.pipeline_root)
    run("b")
    plan = Pruner(workspace, 9, {}).plan()
    assert made.parent not in plan.left_over
    assert used.parent in plan.left_over


def test_metadata_that_cannot_be_read(workspace):
    workspace.home.mkdir(parents=True)
    workspace.metadata.write_text("no database")
    with pytest.raises(CxrError, match=r"is damaged .* move it away"):
        Artifacts(workspace)
    workspace.metadata.unlink()
    with closing(sqlite3.connect(workspace.metadata)) as database:
        database.executescript("CREATE TABLE MLMDEnv (schema_version INTEGER); INSERT INTO MLMDEnv VALUES (999)")  # a later library's
    with pytest.raises(CxrError, match="cannot be read as ML Metadata"):
        Artifacts(workspace)


def test_a_push_keeps_its_version_and_a_link_to_a_version_goes_with_it(workspace):
    """As Pushers and Baselines leave them: two runs pushed versions 1 and 2, the second one was compared with 1."""
    config = proto.ConnectionConfig()
    config.sqlite.filename_uri = str(workspace.metadata)
    config.sqlite.connection_mode = proto.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    workspace.home.mkdir(parents=True)
    store = metadata_store.MetadataStore(config)
    run_type = store.put_context_type(proto.ContextType(name="pipeline_run"))
    pusher = store.put_execution_type(proto.ExecutionType(name="Pusher"))
    kinds = {name: store.put_artifact_type(proto.ArtifactType(name=name)) for name in ("PushedModel", "Model")}
    link = workspace.baselines / "m" / "1"
    link.mkdir(parents=True)
    numbers = {}
    for version in ("1", "2"):
        folder = workspace.pipeline_root / "Pusher-m" / "pushed_model" / version
        folder.mkdir(parents=True)
        pushed = proto.Artifact(type_id=kinds["PushedModel"], uri=f"/before/the/move/tfx/Pusher-m/pushed_model/{version}")
        pushed.custom_properties["pushed_destination"].string_value = f"/before/serving_models/m/{version}"
        made = [(pushed, proto.Event(type=proto.Event.OUTPUT))]
        if version == "2":
            baseline = proto.Artifact(type_id=kinds["Model"], uri=str(link), state=proto.Artifact.LIVE)
            made.append((baseline, proto.Event(type=proto.Event.INPUT)))
        run = proto.Context(type_id=run_type, name=f"run {version}")
        _, numbers[version], _ = store.put_execution(proto.Execution(type_id=pusher), made, [run])

    artifacts = Artifacts(workspace)
    kept = Kept({"newest": ""}, 1, None, {}, frozenset(), frozenset())
    used = artifacts.used_by(kept)
    assert used == set(numbers["2"])
    assert artifacts.versions(used) == {("m", "2")}
    assert [one.folder for one in artifacts.doomed(used, set())] == [workspace.pipeline_root / "Pusher-m/pushed_model/1"]
    doomed = artifacts.doomed(used, {("m", "1")})
    assert [one.folder for one in doomed] == [workspace.pipeline_root / "Pusher-m/pushed_model/1", link]
    artifacts.remove(doomed)
    assert not link.exists()
    states = {one.id: one.state for one in metadata_store.MetadataStore(config).get_artifacts()}
    assert [states[one.number] for one in doomed] == [proto.Artifact.DELETED] * 2
    pushed_by = Kept({}, 0, None, {}, frozenset(["run 1"]), frozenset())
    assert artifacts.used_by(pushed_by) == set(numbers["1"])
