from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from cxr.core.errors import CxrError, UsageError
from cxr.pipeline.kept_runs import KeptRun, find_artifact, find_run, kept_runs, report_of
from cxr.pipeline.workspace import PRUNE, RUN, Workspace

MakeRun = Callable[..., Path]
ENDED = {"ended": "2026-11-26T01:02:03+00:00"}


@pytest.mark.parametrize(
    ("record", "report", "state", "code", "seconds"),
    [
        (ENDED | {"exit_code": 0}, {}, "done", 0, 123),
        (ENDED | {"exit_code": 3}, {}, "refused", 3, 123),
        (ENDED | {"exit_code": 1, "error": "no images"}, None, "failed", 1, 123),
        (ENDED | {"exit_code": 130, "error": "interrupted"}, None, "interrupted", 130, 123),
        (ENDED | {"exit_code": 143, "error": "ended by SIGTERM"}, None, "interrupted", 143, 123),
        ({}, None, "killed", None, None),
        # of an older version, without run.json
        (None, {}, "done", 0, 62),
        (None, {"models": {"ensemble": {"outcome": "refused"}}}, "refused", 3, 62),
        (None, {"nodes": {"Trainer": {"state": "failed", "seconds": 1}}}, "failed", 1, 1),
        (None, None, "unknown", None, None),
    ],
)
def test_what_became_of_a_run(
    make_run: MakeRun, record: dict[str, object], report: dict[str, object], state: str, code: int | None, seconds: float | None
) -> None:
    run = KeptRun(make_run("20261126-1", record=record, report=report))
    assert (run.state, run.exit_code, run.seconds) == (state, code, seconds)


def test_the_newest_run_of_a_pipeline_whose_lock_is_held_is_under_way(make_run: MakeRun, tmp_path: Path) -> None:
    earlier, newest = (KeptRun(make_run(name, record={})) for name in ("20261126-1", "20261126-2"))
    place = Workspace(tmp_path, "cpu")
    states = []
    for holder in (RUN, PRUNE):
        with place.lock(holder):
            states.append((earlier.state, newest.state))
        states.append((earlier.state, newest.state))
    killed = ("killed", "killed")
    assert states == [("killed", "under way"), killed, killed, killed]


def test_a_run_under_way_is_that_by_its_link_too(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("20261126-1", record={})
    place = Workspace(tmp_path, "cpu")
    latest = place.runs / "latest"
    latest.symlink_to("20261126-1")
    with place.lock(RUN):
        assert (KeptRun(latest).name, KeptRun(latest).state) == ("20261126-1", "under way")
        with pytest.raises(CxrError, match="the run is under way; wait until it has ended, or name another one"):
            report_of(KeptRun(latest))
        with pytest.raises(CxrError, match="--model mobilenet: the latest run, 20261126-1, is under way and .* wait until it has ended"):
            find_artifact("mobilenet", place)
    with pytest.raises(CxrError, match=r"--model mobilenet: the latest run, 20261126-1, is killed and has no report.json; give a model's"):
        find_artifact("mobilenet", place)


def test_runs_of_all_pipelines_the_newest_first(make_run: MakeRun, tmp_path: Path) -> None:
    for name, pipeline in (("20261101-1", "cpu"), ("20261103-1", "demo"), ("20261102-1", "cpu")):
        make_run(name, pipeline)
    assert find_run("latest", tmp_path).name == "20261103-1"  # none has a link
    for pipeline, name in (("cpu", "20261102-1"), ("demo", "20261103-1")):
        (tmp_path / pipeline / "runs" / "latest").symlink_to(name)
    assert [(run.pipeline, run.name) for run in kept_runs(tmp_path)] == [
        ("demo", "20261103-1"),
        ("cpu", "20261102-1"),
        ("cpu", "20261101-1"),
    ]
    assert find_run("latest", tmp_path).name == "20261103-1"
    assert find_run("20261101-1", tmp_path).pipeline == "cpu"
    make_run("20261104-1", "cpu")  # of a mistyped path: the link stays
    make_run("20261104-1", "full")  # the first of its pipeline, and such a one too
    assert find_run("latest", tmp_path, "cpu").name == "20261102-1"
    assert find_run("latest", tmp_path).name == "20261103-1"
    assert find_run(str(tmp_path / "cpu" / "runs" / "latest"), tmp_path).name == "20261102-1"
    with pytest.raises(UsageError, match="20260101-1: no such run in .*; the newest is 20261104-1"):
        find_run("20260101-1", tmp_path)


def test_models_and_memory(make_run: MakeRun) -> None:
    run = KeptRun(make_run("20261126-1", report={}))
    model = report_of(run).models["ensemble"]
    assert model.verdict == "pushed as version 17"
    assert model.evaluation is not None
    assert str(model.evaluation.figure("accuracy")) == "0.750 (0.500 to 0.900)"
    assert str(model.evaluation.figure("log_loss")) == "–"
    assert run.peak_memory == 2_500_000_000


def test_a_damaged_report_is_no_reason_to_stop(make_run: MakeRun) -> None:
    folder = make_run("20261126-1", record=ENDED | {"exit_code": 0}, report={})
    field = r"models\.ensemble\.outcome: Field required"
    measured = {"outcome": "pushed", "evaluation": {"examples": 4, "patients": 4, "accuracy": 7.5}}
    beyond = json.dumps({"pipeline": "cpu", "models": {"ensemble": measured}})
    no_share = r"models\.ensemble\.evaluation: must be from 0 to 1, as shares are"
    for text, why in (("{", r"Invalid JSON: EOF.*"), ('{"pipeline": "cpu", "models": {"ensemble": {}}}', field), (beyond, no_share)):
        (folder / "report.json").write_text(text)
        run = KeptRun(folder)
        assert (run.state, run.peak_memory) == ("done", None)
        assert re.fullmatch(why, run.damage)
        with pytest.raises(CxrError, match=rf"^{folder}/report\.json: cannot be read \({why}\); name another run"):
            report_of(run)


DAMAGED = ["", "{", "[]", '{"pipeline": "cpu"}', "newer"]


def damage(folder: Path, text: str) -> None:
    """Writes over run.json; with "newer" it has a field of a version to come."""
    file = folder / "run.json"
    file.write_text(file.read_text().replace("{", '{"to_come": 1, ', 1) if text == "newer" else text)


@pytest.mark.parametrize("text", DAMAGED)
def test_a_run_whose_record_is_damaged_takes_no_time_that_nobody_kept(make_run: MakeRun, text: str) -> None:
    folder = make_run("20261126-1", record=ENDED | {"exit_code": 0}, report={})
    assert (KeptRun(folder).record_damage, KeptRun(folder).seconds_summed) == ("", False)
    damage(folder, text)
    run = KeptRun(folder)
    assert (run.record, run.seconds, run.seconds_summed) == (None, None, False)
    assert run.record_damage
    assert (run.state, run.exit_code) == ("done", 0)  # as the report has it
    (folder / "run.json").unlink()
    run = KeptRun(folder)
    assert (run.record_damage, run.seconds, run.seconds_summed) == ("", 62, True)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it holds no settings"),
        (b"[]", "it holds no settings"),
        (b"{}", "it holds no settings"),
        (b"\xff\xfe", "no YAML"),
        (b"name: cpu\ndata: [SECRET", "no YAML: line 2"),
        (None, "No such file or directory"),
    ],
)
def test_why_a_configuration_cannot_be_read(make_run: MakeRun, content: bytes | None, why: str) -> None:
    folder = make_run("20261126-1")
    assert KeptRun(folder).configuration_damage == ""
    (folder / "config.yaml").unlink()
    if content is not None:
        (folder / "config.yaml").write_bytes(content)
    assert (KeptRun(folder).configuration, KeptRun(folder).configuration_damage) == ({}, why)


def test_a_folder_that_is_no_run_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(CxrError, match="the run is unknown"):
        report_of(find_run(str(tmp_path), tmp_path))


def test_artifacts_are_found_in_a_workspace_that_was_moved(make_run: MakeRun, tmp_path: Path) -> None:
    run = KeptRun(make_run("20261126-1"))
    here = tmp_path / "cpu" / "tfx" / "Evaluator-ensemble" / "evaluation" / "9"
    here.mkdir(parents=True)
    assert run.place_of("/elsewhere/cpu/tfx/Evaluator-ensemble/evaluation/9") == here
    (first := tmp_path / "first" / "tfx" / "Evaluator-ensemble" / "evaluation" / "9").mkdir(parents=True)
    assert run.place_of(str(first)) == here  # this workspace is a copy of that one
    assert run.place_of("/elsewhere/cpu/tfx/Evaluator-ensemble/evaluation/10") is None
    assert run.place_of("/elsewhere/cpu/tfx/Evaluator-ensemble/evaluation/9/value") == here  # of a value: the file
    assert run.place_of("/elsewhere/Evaluator-ensemble/evaluation/9") is None  # of no pipeline
    assert run.place_of(None) is None
