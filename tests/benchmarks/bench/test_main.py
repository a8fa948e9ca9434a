import multiprocessing
import sys

import bench_rows
import numpy as np
import pytest
from bench import __main__ as bench
from bench import runner
from bench.data import DRAWN, SPLIT, Data
from bench.results import REMEDY, Machine, Measured
from PIL import Image

from cxr.core import exit_codes
from cxr.core.console import Console
from cxr.core.features import CLASS_NAMES
from cxr.pipeline.node_process import start_fork_server


@pytest.fixture
def call(monkeypatch, tmp_path):
    def run(*arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["bench", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            bench.main()
        return ended.value.code

    return run


@pytest.fixture
def images(tmp_path):
    """Sixty noisy pictures, in a folder per class."""
    rng = np.random.default_rng(5)
    for number in range(60):
        file = tmp_path / "images" / CLASS_NAMES[number % 3] / f"{number}.{'png' if number % 2 else 'jpg'}"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 48), np.uint8)).save(file)
    return tmp_path / "images"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--rows", "inget"), "there are ingest, input"),
        (("--rounds", 0), "--rounds 0"),
        (("--count", 61), "--count 61"),
        (("--images", "nowhere"), "no such file or folder"),
        (("--keep", "."), "is there already"),
    ],
)
def test_what_cannot_be_done_is_said_at_once(call, capsys, arguments, says):
    assert call(*arguments) == exit_codes.USAGE
    assert says in capsys.readouterr().err


def test_rows_are_listed(call, capsys):
    assert call("--list") == exit_codes.OK
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert {"ingest", "input", "augmented", "head", "fine-tuning", "scoring", "evaluator", "serving", "ingest-growth", "whole"} <= {*names}


@pytest.mark.slow
def test_it_measures_and_keeps_what_it_found(call, images, tmp_path, capsys, monkeypatch):
    """Its processes have imported TensorFlow already; test_runner.py begins them as `make bench` does."""
    monkeypatch.setattr(runner, "_SPAWN", multiprocessing.get_context("forkserver"))
    start_fork_server()
    code = call("--rows", "ingest", "--rounds", 1, "--images", images, "--count", 60, "--out", "found.json")
    shown = capsys.readouterr().out
    assert code == exit_codes.OK, shown
    found = Measured.read(tmp_path / "found.json", REMEDY)
    assert [*found.rows] == ["ingest"]
    assert "Pillow loop" in shown
    assert all(len(side.rates) == 1 and min(side.rates) > 0 for row in found.rows.values() for side in (row.ours, *row.others))
    assert str(tmp_path) not in (tmp_path / "found.json").read_text()


@pytest.mark.slow
def test_a_row_that_fails_leaves_the_others(tmp_path, capsys):
    machine = Machine(cores=2, cpu="x", memory_gib=1, busy=0, python="3", versions={}, commit="", began="")
    before = Measured(machine=machine, images="", count=60, rounds=1)
    found = bench._with(before, bench_rows.row(bench_rows.failing), Data(tmp_path, 60), Console(), "1 of 1")
    assert (found.failed, found.rows) == (("made-up",), {})
    assert "made-up failed: made-up, side 0: no such thing" in capsys.readouterr().out


@pytest.mark.slow
def test_images_are_the_same_under_more_names(tmp_path, images):
    data = Data(tmp_path / "bench", 90, images)
    assert len([*(data.source(10) / "images").iterdir()]) == 300
    data.records()
    files = [*data.files().glob("*/*")]
    assert {file.parent.name for file in files} == {*CLASS_NAMES}
    assert 90 * 0.5 < len(files) < 90 * 0.9
    assert SPLIT == "train"
    assert DRAWN % len(CLASS_NAMES) == 0  # as many of each class
