"""Small real TFX pipelines of function components, run through ML Metadata."""

import resource
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tfx import v1 as tfx
from tfx.orchestration import metadata

from cxr.pipeline import metadata_file
from cxr.pipeline.local_runner import WatchedDagRunner

pytestmark = pytest.mark.slow  # the first that needs it waits until the fork server has imported TFX

String = tfx.types.standard_artifacts.String


@tfx.dsl.components.component
def Make(text: tfx.dsl.components.Parameter[str], made: tfx.dsl.components.OutputArtifact[String]):
    made.value = text


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
    resource.setrlimit(resource.RLIMIT_AS, (in_use + 2**26,) * 2)  # as `ulimit -v`, or a container without overcommitment
    bytearray(2**30)


@tfx.dsl.components.component
def Use(made: tfx.dsl.components.InputArtifact[String], used: tfx.dsl.components.OutputArtifact[String]):
    used.value = made.value + "!"


class Seen:
    def __init__(self):
        self.began, self.ended = [], []

    def started(self, node_id, number, total):
        self.began.append((node_id, number, total))

    def finished(self, result):
        self.ended.append((result.node_id, result.state))


@pytest.fixture
def run(tmp_path):
    def start(*nodes):
        seen = Seen()
        pipeline = tfx.dsl.Pipeline(
            pipeline_name="small",
            pipeline_root=str(tmp_path / "root"),
            components=list(nodes),
            enable_cache=True,
            metadata_connection_config=metadata.sqlite_metadata_connection_config(str(tmp_path / "metadata.db")),
        )
        return WatchedDagRunner(seen).run(pipeline), seen

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


def test_a_failure_stops_only_what_needs_it(run):
    make = Make(text="a")
    fail = Fail(made=make.outputs["made"])
    blocked = Use(made=fail.outputs["failed"]).with_id("Blocked")
    further = Use(made=blocked.outputs["used"]).with_id("Further")
    free = Use(made=make.outputs["made"]).with_id("Free")
    results, seen = run(make, fail, blocked, further, free)
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


def test_memory_that_is_full_ends_a_node_with_a_message(run):
    make = Make(text="a")
    results, _ = run(make, Greedy(made=make.outputs["made"]), Use(made=make.outputs["made"]))
    assert {name: result.state for name, result in results.items()} == {"Make": "done", "Greedy": "failed", "Use": "done"}
    assert "the memory is full; smaller batches or images need less" in results["Greedy"].error


def nodes_of(text="a"):
    make = Make(text=text)
    return make, Use(made=make.outputs["made"])


def test_a_clock_that_was_set_back_changes_nothing_for_the_cache(run, tmp_path):
    """ML Metadata stamps by the clock. What earlier runs left lies a day ahead of now."""
    first, _ = run(*nodes_of())
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


def test_a_deleted_metadata_file_costs_the_cache_and_no_artifact(run, tmp_path):
    first, _ = run(*nodes_of())
    old = first["Use"].outputs["used"][0]
    (tmp_path / "metadata.db").unlink()
    assert "every node runs again" in metadata_file.prepare(tmp_path / "metadata.db", tmp_path / "root")
    again, _ = run(*nodes_of("b"))
    new = again["Use"].outputs["used"][0]
    assert [result.state for result in again.values()] == ["done", "done"]
    assert (Path(old.uri).read_text(), Path(new.uri).read_text()) == ("a!", "b!")  # not one over the other
