"""From a pushed version back to what it was made of, in its workspace and without it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cxr.cli.main import app
from cxr.core.errors import UsageError
from cxr.pipeline.lineage import find, lineage
from cxr.pipeline.workspace import CONFIG, REPORT

MakeRun = Callable[..., Path]
CLASSES = ("covid19", "pneumonia", "normal")
URI = "/gone/tfx/Trainer-ensemble/model/9"
DATA = {"fingerprint": "f" * 64, "images": {"train": {"covid19": 4}}, "synthetic": 0, "sources": {"nih": {"unknown": 4}}}


def write_version(folder: Path) -> None:
    member = {"name": "mobilenet", "class_names": CLASSES, "image_size": 32, "backbone": "MobileNet", "weights_note": "random weights"}
    info = {
        "name": "ensemble",
        "class_names": CLASSES,
        "image_size": 32,
        "members": {"mobilenet": member, "densenet201": member},
        "ensemble_method": "stacking",
        "synthetic": False,
        "data": DATA,
        "code_version": "0123456789ab",
    }
    push = {
        "version": folder.name,
        "pushed_at": "2026-11-26T01:02:00+00:00",
        "pipeline": "cpu",
        "run": "2026-11-26T01:00:00",
        "source": URI,
        "fingerprint": "e" * 32,
        "split": "test",
        "metrics": {"example_count": 12, "accuracy": 0.75},
        "figures": {
            "accuracy": {"value": 0.75, "low": 0.5, "high": 0.9},
            "balanced_accuracy": {"value": 0.7, "low": None, "high": None},
            "calibration_error": {"value": 0.1, "low": 0.05, "high": 0.2},
        },
        "baseline": {"version": "16", "metrics": {"accuracy": 0.7}},
        "floor": folder.name,
    }
    (folder / "assets.extra").mkdir(parents=True)
    (folder / "saved_model.pb").touch()
    for name, found in (("model.json", info), ("push.json", push)):
        (folder / "assets.extra" / name).write_text(json.dumps(found))


@pytest.fixture
def version(make_run: MakeRun, tmp_path: Path) -> Path:
    """Version 17, pushed by the first run and found pushed by the second; there is a version 16 beside it."""
    models = tmp_path / "cpu" / "serving_models" / "ensemble"
    for name in ("16", "17"):
        write_version(models / name)
    pointer = {"version": "17", "fingerprint": "e" * 32, "source": URI, "pushed_at": "2026-11-26T01:02:00+00:00"}
    (models / "champion.json").write_text(json.dumps(pointer))
    mobilenet = {"outcome": "pushed", "version": "5"}
    ensemble = {"outcome": "pushed", "version": "17", "model_uri": URI}
    pushed = {"models": {"ensemble": ensemble, "mobilenet": mobilenet, "densenet201": {"outcome": "refused"}}, "data_fingerprint": "d" * 64}
    make_run("20261126-1", record={"ended": "2026-11-26T01:02:03+00:00", "exit_code": 3}, report=pushed, overrides=("gate.tolerance=0",))
    make_run("20261126-2", report=pushed)
    return models / "17"


def test_everything_that_the_workspace_knows(version: Path) -> None:
    found = lineage(version)
    assert (found.model, found.version, found.champion, found.code_version) == ("ensemble", "17", True, "0123456789ab")
    assert found.data is not None
    assert found.data.fingerprint == "f" * 64
    assert found.baseline is not None
    assert (found.baseline.version, found.baseline.metrics) == ("16", {"accuracy": 0.7})
    assert found.figures == {
        "accuracy": "0.750 (0.500 to 0.900)",
        "balanced accuracy": "0.700",
        "calibration error": "0.100 (0.050 to 0.200)",
    }
    assert {name: member.version for name, member in found.members.items()} == {"mobilenet": "5", "densenet201": None}
    assert found.run is not None
    assert (found.run.name, found.run.state, found.run.shipped) == ("20261126-1", "refused", "cpu")
    assert [(one.key, one.second) for one in found.run.changed] == [("gate.tolerance", "0.0")]
    assert found.run.records_fingerprint == "d" * 64
    assert lineage(version.with_name("16")).champion is False


@pytest.mark.parametrize("left", [None, "{", "[]"])
def test_a_configuration_that_cannot_be_read_is_beside_no_other(version: Path, tmp_path: Path, left: str | None) -> None:
    run = lineage(version).run
    assert run is not None
    Path(run.folder, CONFIG).unlink()
    if left is not None:
        Path(run.folder, CONFIG).write_text(left)
    run = lineage(version).run
    assert run is not None
    assert (run.shipped, run.changed) == ("", ())
    text = CliRunner().invoke(app, ["lineage", "ensemble", "--workspace", str(tmp_path)]).stdout
    assert "the run's configuration cannot be read" in text
    assert "differs from the shipped" not in text


def shown(root: Path) -> str:
    return CliRunner().invoke(app, ["lineage", "ensemble", "--workspace", str(root)]).stdout


def test_a_report_that_cannot_be_read_is_no_workspace_that_was_moved(version: Path, tmp_path: Path) -> None:
    runs = tmp_path / "cpu" / "runs"
    for name in ("20261126-1", "20261126-2"):
        (runs / name / REPORT).write_text("{")
    found = lineage(version)
    assert found.run is None
    assert list(found.unread_runs) == ["20261126-2", "20261126-1"]  # nothing says when the second one ran
    text = shown(tmp_path)
    assert "run:                          perhaps 20261126-1, whose report.json cannot be read (Invalid JSON" in text
    assert "the run's configuration is not shown: only its report.json says whether it pushed this version" in text
    assert "moved" not in text
    assert "not in this workspace" not in text


def test_a_run_that_found_a_version_pushed_is_not_taken_for_the_one_that_pushed_it(version: Path, tmp_path: Path) -> None:
    (tmp_path / "cpu" / "runs" / "20261126-1" / REPORT).write_text("{")
    found = lineage(version)
    assert found.run is not None
    assert (found.run.name, list(found.unread_runs)) == ("20261126-2", ["20261126-1"])
    assert "or an earlier run:            perhaps 20261126-1, whose report.json cannot be read" in shown(tmp_path)


@pytest.mark.parametrize("began", ["2026-11-26T01:02:01+00:00", "2026-11-25T01:00:00+00:00"])
def test_a_damaged_report_of_another_time_is_of_another_run(version: Path, make_run: MakeRun, began: str) -> None:
    make_run("20261125-9", record={"began": began, "ended": "2026-11-26T00:59:59+00:00"}, report={})
    (version.parents[2] / "runs" / "20261125-9" / REPORT).write_text("{")
    found = lineage(version)
    assert found.run is not None
    assert (found.run.name, found.unread_runs) == ("20261126-1", {})
    (version.parents[2] / "runs" / "20261126-1" / REPORT).write_text("{")
    assert list(lineage(version).unread_runs) == ["20261126-1"]


def test_a_push_of_version_0_1_kept_figures_without_intervals(version: Path) -> None:
    file = version / "assets.extra" / "push.json"
    push = json.loads(file.read_text())
    del push["figures"]
    file.write_text(json.dumps(push))
    assert lineage(version).figures["accuracy"] == "0.750"


def test_a_folder_without_its_workspace_tells_what_travels_with_it(version: Path, tmp_path: Path) -> None:
    alone = tmp_path / "server" / "models" / "ensemble" / "17"
    shutil.copytree(version, alone)
    found = lineage(alone)
    assert (found.run, found.champion, found.made_by) == (None, None, ())
    assert found.data == lineage(version).data
    assert found.pushed == lineage(version).pushed
    assert found.figures == lineage(version).figures
    assert found.members["mobilenet"].version is None


@pytest.mark.parametrize(
    "model", ["ensemble", "ensemble/17", "{root}/cpu/serving_models/ensemble", "{root}/cpu/serving_models/ensemble/17"]
)
def test_ways_to_name_a_version(version: Path, tmp_path: Path, model: str) -> None:
    assert find(model.format(root=tmp_path), tmp_path) == version


def test_names_that_mean_nothing_or_too_much(version: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="vgg: neither a folder nor a pushed model"):
        find("vgg", tmp_path)
    shutil.copytree(tmp_path / "cpu", tmp_path / "other")
    with pytest.raises(UsageError, match="ensemble: pushed by cpu, other; say whose with --pipeline"):
        find("ensemble", tmp_path)
    assert find("ensemble", tmp_path, "cpu") == version


def test_the_command_shows_it(version: Path, tmp_path: Path) -> None:
    asked = ["lineage", "ensemble", "--workspace", str(tmp_path)]
    text = CliRunner().invoke(app, asked).stdout
    for words in (
        "ensemble, version 17 (champion)",
        "20261126-1 (refused)",
        "member mobilenet:             version 5",
        "member densenet201:           version not known",
        "gate.tolerance: 0.02 → 0.0",
        "4 images, license not stated",
        "accuracy 0.700",
    ):
        assert words in text
    assert json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)["data"]["fingerprint"] == "f" * 64
