"""Small real TFX pipelines of function components, run through ML Metadata."""

from pathlib import Path

import pytest
from tfx import v1 as tfx
from tfx.orchestration import metadata

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
