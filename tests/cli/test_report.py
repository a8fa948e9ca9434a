from __future__ import annotations

import webbrowser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cxr.cli.main import app
from cxr.cli.report import find_page
from cxr.core.errors import UsageError


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Two pipelines; the newest run of one is under way."""
    for pipeline, name, page in (("cpu", "20261101-1", True), ("demo", "20261102-1", True), ("cpu", "20261103-1", False)):
        folder = tmp_path / pipeline / "runs" / name
        folder.mkdir(parents=True)
        (folder.parent / "latest").unlink(missing_ok=True)
        (folder.parent / "latest").symlink_to(name)
        if page:
            (folder / "report.html").write_text("<p>")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "run"),
    [((), "demo/runs/20261102-1"), (("--pipeline", "cpu"), "cpu/runs/20261101-1"), (("20261101-1",), "cpu/runs/20261101-1")],
)
def test_a_script_gets_the_path(workspace: Path, arguments: tuple[str, ...], run: str) -> None:
    result = CliRunner().invoke(app, ["report", "--workspace", str(workspace), "--path", *arguments])
    assert result.stdout == f"{workspace / run}/report.html\n"


def test_a_run_by_its_folder(workspace: Path, tmp_path: Path) -> None:
    folder = workspace / "cpu" / "runs" / "20261101-1"
    assert find_page(str(folder), tmp_path / "elsewhere", None) == folder / "report.html"


@pytest.mark.parametrize(
    ("run", "pipeline", "message"),
    [
        ("20261103-1", None, "has no report.html: it is under way"),
        ("20250101-1", None, "20250101-1: no such run in .*; the newest is 20261103-1"),
        ("20261102-1", "cpu", "no such run"),
        (None, "full", "full: holds no runs"),
    ],
)
def test_what_is_not_there(workspace: Path, run: str | None, pipeline: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_page(run, workspace, pipeline)


@pytest.mark.parametrize("browser", [True, False])
def test_it_is_opened_in_the_browser_where_there_is_one(workspace: Path, monkeypatch: pytest.MonkeyPatch, browser: bool) -> None:
    opened: list[str] = []

    def open_(address: str) -> bool:
        opened.append(address)
        return browser

    monkeypatch.setattr(webbrowser, "open", open_)
    result = CliRunner().invoke(app, ["report", "--workspace", str(workspace)])
    assert opened == [(workspace / "demo/runs/20261102-1/report.html").as_uri()]
    assert ("no browser on this machine" in result.output) is not browser
