"""`cxr predict` and `cxr serving status|bench` as a user runs them, against an embedded server."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cxr.core import exit_codes

MAIN = "from cxr.cli import predict, serving; import typer; from cxr.core.errors import CxrError; import sys\n"
MAIN += "app = typer.Typer(); predict.register(app); serving.register(app)\ntry: app()\n"
MAIN += "except CxrError as error: print(f'error: {error}', file=sys.stderr); sys.exit(1)\n"


def _cxr(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", MAIN, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def folder(tmp_path: Path, png) -> Path:
    for level in (10, 240):
        (tmp_path / f"{level}.png").write_bytes(png(level, 64))
    return tmp_path


def test_table_for_people(small_server, folder):
    done = _cxr("predict", folder, "--server", small_server)
    assert done.returncode == exit_codes.OK, done.stderr
    assert "ensemble version 2" in done.stdout
    assert "not a diagnostic device" in done.stdout
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if ".png" in line}
    assert "pneumonia" in rows[str(folder / "10.png")]
    assert "normal" in rows[str(folder / "240.png")]
    assert "outside of" not in rows[str(folder / "10.png")]
    assert "outside of" in rows[str(folder / "240.png")]  # the words may be folded


def test_json_lines_for_scripts_and_a_failed_image(small_server, folder):
    (folder / "99.png").write_bytes(b"no image")
    done = _cxr("predict", folder, "--server", small_server, "--json", "--model", "mobilenet", "--version", "7")
    assert done.returncode == exit_codes.FAILED
    first, second, bad = (json.loads(line) for line in done.stdout.splitlines())
    assert [first["label"], second["label"]] == ["covid19", "pneumonia"]
    assert (first["model"], first["version"], first["members"]) == ("mobilenet", 7, {})
    assert sum(first["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    assert "99.png" in bad["error"]
    assert "1 of 3 images failed" in done.stderr


@pytest.mark.parametrize(("model", "synthetic"), [("mobilenet", True), ("real", False), ("older", None)])
def test_answers_of_a_model_that_learnt_from_synthetic_images_are_marked(small_server, folder, model, synthetic):
    done = _cxr("predict", folder, "--server", small_server, "--json", "--model", model)
    assert done.returncode == exit_codes.OK, done.stderr
    assert [json.loads(line)["synthetic"] for line in done.stdout.splitlines()] == [synthetic] * 2
    note = "note: mobilenet version 7 learnt from SYNTHETIC images: its answers say nothing about patients\n"
    assert done.stderr.count(note) == done.stderr.count("SYNTHETIC") == (1 if synthetic else 0)


def test_no_server_says_how_to_start_one(folder):
    done = _cxr("predict", folder, "--server", "127.0.0.1:1")
    assert done.returncode == exit_codes.FAILED
    assert "cxr serve MODELS_DIR --port 1" in done.stderr
    assert done.stdout == ""


def test_status_without_a_models_config(small_server, tmp_path: Path):
    done = _cxr("serving", "status", "--server", small_server, "--config", tmp_path / "models.config", "--json")
    assert done.returncode == exit_codes.OK, done.stderr
    rows = {row["model"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert (rows["ensemble"]["version"], rows["ensemble"]["state"]) == (2, "AVAILABLE")
    assert rows["densenet201"]["state"] == "not served"


def test_bench_measures_both_payloads(small_server):
    done = _cxr("serving", "bench", "--server", small_server, "--duration", "0.5", "--requests", "20", "--concurrency", "2", "--json")
    assert done.returncode == exit_codes.OK, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["signature"] for row in rows] == ["image_bytes", "image_tensor"]
    assert all(row["images"] > 0 and not row["errors"] for row in rows)
