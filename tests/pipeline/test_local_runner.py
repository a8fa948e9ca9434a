"""Small real TFX pipelines of function components, run through ML Metadata."""

import gzip
import os
import resource
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import ml_metadata as mlmd
import pytest
from tfx import v1 as tfx
from tfx.orchestration import metadata

from cxr.components.example_gen.component import ImportExampleGen
from cxr.pipeline import artifact_files, metadata_file, node_launch
from cxr.pipeline.local_runner import WatchedDagRunner
from cxr.pipeline.side_by_side import Room
from cxr.pipeline.workspace import Workspace

pytestmark = pytest.mark.slow  # the first that needs it waits until the fork server has imported TFX

String = tfx.types.standard_artifacts.String


@tfx.dsl.components.component
def Make(text: tfx.dsl.components.Parameter[str], made: tfx.dsl.components.OutputArtifact[String]):
    made.value = text


@tfx.dsl.components.component
def Shards(examples: tfx.dsl.components.OutputArtifact[tfx.types.standard_artifacts.Examples]):
    (folder := Path(examples.uri) / "Split-train").mkdir()
    for number in range(3):
        (folder / f"data-0000{number}-of-00003").write_text("an image")


@tfx.dsl.components.component
def Count(
    examples: tfx.dsl.components.InputArtifact[tfx.types.standard_artifacts.Examples], counted: tfx.dsl.components.OutputArtifact[String]
):
    counted.value = "".join(path.read_text() for path in sorted(Path(examples.uri).rglob("data*")))


@tfx.dsl.components.component
def Fail(made: tfx.dsl.components.InputArtifact[String], failed: tfx.dsl.components.OutputArtifact[String]):
    try:
        raise ValueError("the picture is missing")
    except ValueError as error:
        raise RuntimeError("wrapped") from error


@tfx.dsl.components.component
def Interrupt(made: tfx.dsl.components.InputArtifact[String], marker: tfx.dsl.components.Parameter[str]):
    if not Path(marker).exists():
        Path(marker).touch()
        raise KeyboardInterrupt


@tfx.dsl.components.component
def Greedy(made: tfx.dsl.components.InputArtifact[String]):
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    # As `ulimit -v`, or a container without overcommitment. Room for ML Metadata is left: a thread of its own would abort the process.
    resource.setrlimit(resource.RLIMIT_AS, (in_use + 2**28,) * 2)
    bytearray(2**30)


@tfx.dsl.components.component
def Use(made: tfx.dsl.components.InputArtifact[String], used: tfx.dsl.components.OutputArtifact[String]):
    used.value = made.value + "!"


@tfx.dsl.components.component
def Look(seen: tfx.dsl.components.OutputArtifact[String]):
    seen.value = os.environ["CUDA_VISIBLE_DEVICES"] + os.environ.get("TF_FORCE_GPU_ALLOW_GROWTH", "")


@tfx.dsl.components.component
def Meet(folder: tfx.dsl.components.Parameter[str], name: tfx.dsl.components.Parameter[str], others: tfx.dsl.components.Parameter[int]):
    """Ends once the others are under way as well."""
    (Path(folder) / name).write_text(str(os.getpid()))
    deadline = time.monotonic() + 60
    while len(list(Path(folder).iterdir())) <= others:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{name} is alone")
        time.sleep(0.05)


@tfx.dsl.components.component
def InterruptOnce(folder: tfx.dsl.components.Parameter[str]):
    """Interrupts the run while another node is under way."""
    while not list(Path(folder).iterdir()):
        time.sleep(0.05)
    raise KeyboardInterrupt


class Seen:
    def __init__(self):
        self.began, self.ended = [], []

    def started(self, node_id, number, total):
        self.began.append((node_id, number, total))

    def finished(self, result):
        self.ended.append((result.node_id, result.state))


@pytest.fixture
def run(tmp_path):
    def start(*nodes, jobs=1):
        seen = Seen()
        pipeline = tfx.dsl.Pipeline(
            pipeline_name="small",
            pipeline_root=str(tmp_path / "tfx"),
            components=list(nodes),
            enable_cache=True,
            metadata_connection_config=metadata.sqlite_metadata_connection_config(str(tmp_path / "metadata.db")),
        )
        return WatchedDagRunner(seen, Room(jobs)).run(pipeline), seen

    return start


def test_results_outputs_and_cache(run):
    def nodes():
        make = Make(text="a")
        return make, Use(made=make.outputs["made"])

    results, seen = run(*nodes())
    assert [result.state for result in results.values()] == ["done", "done"]
    assert results["Use"].outputs["used"][0].read() == "a!"
    assert seen.began == [("Make", 1, 2), ("Use", 2, 2)]
    assert seen.ended == [("Make", "done"), ("Use", "done")]

    again, _ = run(*nodes())
    assert [result.state for result in again.values()] == ["cached", "cached"]
    assert again["Use"].outputs["used"][0].uri == results["Use"].outputs["used"][0].uri
    assert all(result.peak_memory > 50e6 for result in results.values())
    assert [result.peak_memory for result in again.values()] == [None, None]


def test_nodes_that_ask_no_network_leave_gpus_alone(run):
    results, _ = run(Look().with_id("Audit"), Look().with_id("InfraCheck-mobilenet"))
    seen = {name: result.outputs["seen"][0].read() for name, result in results.items()}
    assert seen["Audit"].startswith("-1")
    assert seen["InfraCheck-mobilenet"] == os.environ["CUDA_VISIBLE_DEVICES"] + "true"


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_failure_stops_only_what_needs_it(run, jobs):
    make = Make(text="a")
    fail = Fail(made=make.outputs["made"])
    blocked = Use(made=fail.outputs["failed"]).with_id("Blocked")
    further = Use(made=blocked.outputs["used"]).with_id("Further")
    free = Use(made=make.outputs["made"]).with_id("Free")
    results, seen = run(make, fail, blocked, further, free, jobs=jobs)
    assert {name: result.state for name, result in results.items()} == {
        "Make": "done",
        "Fail": "failed",
        "Blocked": "skipped",
        "Further": "skipped",
        "Free": "done",
    }
    assert results["Fail"].error == "the picture is missing"
    assert results["Blocked"].roots == results["Further"].roots == ("Fail",)
    assert "Blocked" not in [name for name, *_ in seen.began]


def test_an_interrupted_run_goes_on_where_it_stopped(run, tmp_path):
    def nodes():
        make = Make(text="a")
        return make, Interrupt(made=make.outputs["made"], marker=str(tmp_path / "marker"))

    with pytest.raises(KeyboardInterrupt):
        run(*nodes())
    results, _ = run(*nodes())
    assert {name: result.state for name, result in results.items()} == {"Make": "cached", "Interrupt": "done"}


def test_nodes_run_side_by_side_and_results_stay_in_order(run, tmp_path):
    (folder := tmp_path / "meeting").mkdir()
    first, second = (Meet(folder=str(folder), name=name, others=others).with_id(name) for name, others in {"A": 2, "B": 1}.items())
    after = Meet(folder=str(folder), name="C", others=2).with_id("C")
    after.add_upstream_node(second)
    results, seen = run(first, second, after, jobs=2)
    assert {name: result.state for name, result in results.items()} == dict.fromkeys("ABC", "done")
    assert list(results) == ["A", "B", "C"]
    assert seen.began == [("B", 2, 3), ("A", 1, 3), ("C", 3, 3)]  # more waits for B
    assert seen.ended[0] == ("B", "done")


def test_many_nodes_at_once_leave_the_metadata_whole(run, tmp_path):
    count = 8

    def nodes():
        makes = [Make(text=str(n)).with_id(f"Make{n}") for n in range(count)]
        uses = [Use(made=make.outputs["made"]).with_id(f"Use{n}") for n, make in enumerate(makes)]
        return *makes, *uses

    results, _ = run(*nodes(), jobs=8)
    assert {result.state for result in results.values()} == {"done"}
    assert [results[f"Use{n}"].outputs["used"][0].read() for n in range(count)] == [f"{n}!" for n in range(count)]
    again, _ = run(*nodes(), jobs=8)
    assert {result.state for result in again.values()} == {"cached"}

    store = mlmd.MetadataStore(metadata.sqlite_metadata_connection_config(str(tmp_path / "metadata.db")))
    executions = store.get_executions()
    assert len(executions) == 4 * count
    assert len(store.get_artifacts()) == 2 * count
    names = [(context.type_id, context.name) for context in store.get_contexts()]
    assert len(names) == len(set(names))
    assert len([kind for kind in store.get_context_types() if kind.name == "pipeline_run"]) == 1
    assert len([context for context in store.get_contexts() if context.type == "pipeline_run"]) == 2
    outputs = [
        event for event in store.get_events_by_execution_ids([one.id for one in executions]) if event.type == mlmd.proto.Event.OUTPUT
    ]
    assert len(outputs) == len({event.artifact_id for event in outputs}) + 2 * count  # the second run's are the first's again


def test_an_interrupt_ends_the_nodes_beside_it(run, tmp_path, monkeypatch):
    monkeypatch.setattr("cxr.pipeline.node_process._PATIENCE", 1)
    (folder := tmp_path / "meeting").mkdir()
    with pytest.raises(KeyboardInterrupt):
        run(Meet(folder=str(folder), name="A", others=2).with_id("A"), InterruptOnce(folder=str(folder)), jobs=2)
    with pytest.raises(ProcessLookupError):
        os.kill(int((folder / "A").read_text()), 0)


def test_memory_that_is_full_ends_a_node_with_a_message(run):
    make = Make(text="a")
    results, _ = run(make, Greedy(made=make.outputs["made"]), Use(made=make.outputs["made"]))
    assert {name: result.state for name, result in results.items()} == {"Make": "done", "Greedy": "failed", "Use": "done"}
    assert "the memory is full; smaller batches or images need less" in results["Greedy"].error


def nodes_of(text="a"):
    make = Make(text=text)
    return make, Use(made=make.outputs["made"])


def add_executions(file, count):
    """Adds failed executions to every context, as earlier runs leave them."""
    store = mlmd.MetadataStore(metadata.sqlite_metadata_connection_config(str(file)))
    kind = store.get_execution_types()[0].id
    numbers = store.put_executions([mlmd.proto.Execution(type_id=kind, last_known_state=mlmd.proto.Execution.FAILED)] * count)
    store.put_attributions_and_associations(
        [], [mlmd.proto.Association(execution_id=number, context_id=one.id) for one in store.get_contexts() for number in numbers]
    )


def test_a_group_may_share_the_store(tmp_path):
    """By the umask alone: files that only their maker may write kept everybody else's runs out."""
    before = os.umask(0o002)
    try:
        metadata_file.prepare(tmp_path / "metadata.db", tmp_path / "tfx")
        with node_launch.Store(metadata.sqlite_metadata_connection_config(str(tmp_path / "metadata.db"))):
            pass
    finally:
        os.umask(before)
    modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.glob("metadata.db*")}
    assert modes == dict.fromkeys(("metadata.db", "metadata.db.lock"), 0o664)


def test_a_clock_that_was_set_back_changes_nothing_for_the_cache(run, tmp_path):
    """ML Metadata stamps by the clock. What earlier runs left lies a day ahead of now, and is more than one of its pages holds."""
    first, _ = run(*nodes_of())
    add_executions(tmp_path / "metadata.db", 150)
    with closing(sqlite3.connect(tmp_path / "metadata.db")) as database:
        for table in ("Execution", "Context"):  # an artifact's times are part of what it is
            for column in ("create_time_since_epoch", "last_update_time_since_epoch"):
                database.execute(f"UPDATE {table} SET {column} = {column} + 86400000")
        database.execute("UPDATE Event SET milliseconds_since_epoch = milliseconds_since_epoch + 86400000")
        database.commit()
    again, _ = run(*nodes_of())
    assert [result.state for result in again.values()] == ["cached", "cached"]
    assert again["Use"].outputs["used"][0].uri == first["Use"].outputs["used"][0].uri
    changed, _ = run(*nodes_of("b"))
    assert [result.state for result in changed.values()] == ["done", "done"]
    assert changed["Use"].outputs["used"][0].read() == "b!"
    latest, _ = run(*nodes_of("b"))
    assert [result.state for result in latest.values()] == ["cached", "cached"]
    assert latest["Use"].outputs["used"][0].read() == "b!"


def test_records_that_were_only_touched_come_from_the_cache(run, tmp_path):
    (records := tmp_path / "records" / "train").mkdir(parents=True)
    shard = records / "0.gz"
    shard.write_bytes(gzip.compress(b"an image", mtime=0))

    def node():
        config = tfx.proto.Input(splits=[tfx.proto.Input.Split(name="train", pattern="train/*.gz")])
        return ImportExampleGen(str(tmp_path / "records"), config)

    def states():
        return [result.state for result in run(node())[0].values()]

    assert states() == ["done"]
    os.utime(shard, (0, 0))
    assert states() == ["cached"]
    shard.write_bytes(gzip.compress(b"no image", mtime=0))  # as long
    os.utime(shard, (0, 0))
    assert states() == ["done"]


def test_records_that_were_copied_moved_or_linked_come_from_the_cache(run, tmp_path):
    (tmp_path / "records" / "train").mkdir(parents=True)
    (tmp_path / "records" / "train" / "0.gz").write_bytes(gzip.compress(b"an image", mtime=0))
    shutil.copytree(tmp_path / "records", tmp_path / "copy")
    workspace = Workspace(tmp_path.parent, tmp_path.name)

    def state_of(folder):
        workspace.point_records_at(folder)
        config = tfx.proto.Input(splits=[tfx.proto.Input.Split(name="train", pattern="train/*.gz")])
        (result,) = run(ImportExampleGen(str(workspace.records), config))[0].values()
        return result.state

    assert [state_of(tmp_path / name) for name in ("records", "copy")] == ["done", "cached"]
    (tmp_path / "link").symlink_to("records")
    for name, place in (("of-split", "train"), ("of-shard", "train/0.gz")):  # links within the folder
        (link := tmp_path / name / place).parent.mkdir(parents=True)
        link.symlink_to(tmp_path / "records" / place)
    assert [state_of(tmp_path / name) for name in ("link", "of-split", "of-shard")] == ["cached"] * 3
    (tmp_path / "copy").rename(tmp_path / "moved")
    assert state_of(tmp_path / "moved") == "cached"
    (tmp_path / "moved" / "train" / "0.gz").write_bytes(gzip.compress(b"no image", mtime=0))
    assert state_of(tmp_path / "moved") == "done"


def test_a_deleted_metadata_file_costs_the_cache_and_no_artifact(run, tmp_path):
    first, _ = run(*nodes_of())
    old = first["Use"].outputs["used"][0]
    (tmp_path / "metadata.db").unlink()
    assert "every node runs again" in metadata_file.prepare(tmp_path / "metadata.db", tmp_path / "tfx")
    again, _ = run(*nodes_of("b"))
    new = again["Use"].outputs["used"][0]
    assert [result.state for result in again.values()] == ["done", "done"]
    assert (Path(old.uri).read_text(), Path(new.uri).read_text()) == ("a!", "b!")  # not one over the other


def test_examples_that_lost_a_shard_are_not_taken_from_the_cache(run, tmp_path):
    def nodes():
        shards = Shards()
        return shards, Count(examples=shards.outputs["examples"]), Make(text="a")

    workspace = Workspace(tmp_path.parent, tmp_path.name)
    first, _ = run(*nodes())
    folder = Path(first["Shards"].outputs["examples"][0].uri)
    assert artifact_files.pass_over(workspace) == []
    (folder / "Split-train" / "data-00001-of-00003").unlink()
    (said,) = artifact_files.pass_over(workspace)
    assert said.startswith(f"{folder}: Split-train/data-00001-of-00003 is missing; it is not taken from the cache: Shards makes it anew")
    again, _ = run(*nodes())
    assert {name: result.state for name, result in again.items()} == {"Shards": "done", "Count": "done", "Make": "cached"}
    assert again["Count"].outputs["counted"][0].read() == 3 * "an image"
    assert artifact_files.pass_over(workspace) == []  # once
    latest, _ = run(*nodes())
    assert {result.state for result in latest.values()} == {"cached"}
