from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cxr.cli.main import app
from cxr.core import exit_codes
from cxr.core.errors import UsageError

MakeRun = Callable[..., Path]


def runs(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["runs", *arguments])


@pytest.fixture
def workspace(make_run: MakeRun, tmp_path: Path) -> Path:
    ended = {"ended": "2026-11-26T01:02:03+00:00"}
    make_run("20261101-1", report={"images": {"train": {"normal": 9}}})
    make_run("20261102-1", record=ended | {"exit_code": 130, "error": "interrupted"})
    refused = {"ensemble": {"outcome": "refused", "reasons": ["gate: accuracy 0.5 is below 0.6"]}}
    changed = [{"key": "gate.min_accuracy", "first": "0.5", "second": "0.6"}]
    make_run("20261103-1", record=ended | {"exit_code": 3, "changed": changed}, report={"models": refused})
    return tmp_path


def test_a_row_for_each_run_the_newest_first(workspace: Path) -> None:
    text = runs("--workspace", str(workspace)).stdout
    rows = [line for line in text.splitlines() if "2026110" in line]
    assert ["20261103-1" in rows[0], "20261102-1" in rows[1], "20261101-1" in rows[2]] == [True] * 3
    assert "cpu (1 changed)" in rows[0]
    assert "ensemble: refused: gate: accuracy 0.5 is below 0.6" in rows[0]
    assert "interrupted" in rows[1]
    for words in ("│ done ", "1 min 02 s", "2.5 GB", "records, 9 images", "ensemble: pushed as version 17"):
        assert words in rows[2]


@pytest.mark.parametrize("columns", [40, 80])
def test_a_narrow_terminal_gets_lines(workspace: Path, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setattr("cxr.cli.options.PIPE_WIDTH", 1)
    monkeypatch.setenv("COLUMNS", str(columns))
    assert runs("--workspace", str(workspace)).stdout.splitlines() == [
        "20261103-1  cpu (1 changed)  refused",
        "  exit 3, 2 min 03 s, largest node 2.5 GB, records",
        "  ensemble: refused: gate: accuracy 0.5 is below 0.6",
        "20261102-1  cpu  interrupted",
        "  exit 130, 2 min 03 s, xrays",
        "  interrupted",
        "20261101-1  cpu  done",
        "  exit 0, 1 min 02 s, largest node 2.5 GB, records, 9 images",
        "  ensemble: pushed as version 17",
    ]


def test_json_has_everything(workspace: Path) -> None:
    found = [json.loads(line) for line in runs("-w", str(workspace), "--json", "-n", "3").stdout.splitlines()]
    assert [run["exit_code"] for run in found] == [3, 130, 0]
    assert found[0]["changed"] == {"gate.min_accuracy": "0.6"}
    assert found[1]["error"] == "interrupted"
    assert found[2]["models"]["ensemble"] == {
        "outcome": "pushed", "reasons": [], "version": "17", "baseline": "16", "accuracy": {"value": 0.75, "low": 0.5, "high": 0.9},
    }  # fmt: skip
    assert found[2]["nodes"]["Trainer-ensemble"]["peak_memory"] == found[2]["peak_memory"] == 2_500_000_000


@pytest.mark.parametrize("columns", [100, 200])
def test_a_report_that_cannot_be_read_is_said_to_be_there(workspace: Path, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for report in workspace.glob("*/runs/*/report.json"):
        report.write_text("{}")
    assert "report.json cannot be read (pipeline: Field required" in " ".join(runs("-w", str(workspace)).stdout.split())
    found = [json.loads(line)["report_error"] for line in runs("-w", str(workspace), "--json").stdout.splitlines()]
    assert {type(error) for error in found} == {str, type(None)}  # one run ended without a report


@pytest.mark.parametrize("columns", [100, 200])
def test_a_record_that_cannot_be_read_is_said_to_be_there(workspace: Path, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("cxr.cli.options.PIPE_WIDTH", 1)
    for record in workspace.glob("*/runs/*/run.json"):
        record.write_text("[]")
    text = runs("-w", str(workspace)).stdout
    assert text.count("run.json cannot be read (") == 2
    assert text.count("cpu (changes not known)") == 2
    found = [json.loads(line) for line in runs("-w", str(workspace), "--json").stdout.splitlines()]
    assert [type(run["record_error"]) for run in found] == [str, str, type(None)]  # the oldest has none
    assert [run["seconds"] for run in found] == [None, None, 62]


def test_no_runs_and_no_workspace(workspace: Path) -> None:
    result = runs("-w", str(workspace), "--pipeline", "full")
    assert result.exit_code == exit_codes.OK
    assert "no runs of the pipeline 'full'" in result.stderr
    assert isinstance(runs("-w", str(workspace / "nowhere")).exception, UsageError)
