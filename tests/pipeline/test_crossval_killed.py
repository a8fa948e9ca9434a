"""A cross-validation that is killed at its steps with files. What networks would make of the pictures is made up."""

import io
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from killed import killed_at
from rich.console import Console

from cxr.pipeline import crossval
from cxr.pipeline.pipeline_config import load
from cxr.pipeline.workspace import Workspace
from cxr.trainer.crossval.features import AllFeatures
from cxr.trainer.crossval.members import Member
from cxr.trainer.encoded_images import EncodedImages
from cxr.trainer.splits import Split

COUNT = 24  # images, each of a patient of its own
STEP = 7  # one in so many steps is tried: all of them would take a minute


@pytest.fixture
def cross_validate(tmp_path, monkeypatch):
    images = Split(
        EncodedImages.of([b""] * COUNT),
        np.arange(COUNT) % 3,
        np.array([f"{i:064x}" for i in range(COUNT)]),
        np.array([f"patient{i}" for i in range(COUNT)]),
        np.full(COUNT, "one"),
        np.full(COUNT, "unknown"),
    )
    table = np.random.default_rng(0).normal(size=(1, COUNT, 4)).astype(np.float32)
    config = crossval.only(load("cpu"), ["mobilenet"])
    workspace, console = Workspace(tmp_path / "workspace", "cpu"), Console(file=io.StringIO())

    def trained(member, folder):
        part = member.part
        shares = np.eye(3, dtype=np.float32)[part.labels] * 0.7 + 0.1
        return {"train": shares[part.train], "val": shares[part.stop], "test": shares[part.test]}

    records = SimpleNamespace(images=images, transform=None, content="0" * 64)
    monkeypatch.setattr(crossval, "prepare_data", lambda *_: None)
    monkeypatch.setattr(crossval, "read_records", lambda *_: records)
    monkeypatch.setattr(crossval, "features_of_all", lambda *_: AllFeatures(table, [], "m", "random weights", 0.0, tmp_path / "state"))
    monkeypatch.setattr(Member, "answers", trained)
    return lambda: crossval.cross_validate(config, "records", ["train"], workspace, console, folds=2, seed=1, folder=tmp_path / "out")


@pytest.mark.slow
def test_results_are_whole_and_the_next_call_ends_with_all_of_them(cross_validate, tmp_path):
    def results():
        """What a reader sees: a hidden draft may be left of a killed call."""
        files = {str(file.relative_to(tmp_path / "out")): file for file in (tmp_path / "out").rglob("*.*") if file.is_file()}
        return {name: file.read_bytes() for name, file in files.items() if not name.startswith(".")}

    cross_validate()
    whole, step = results(), 0
    assert len(whole) == 6  # four folds, configuration and summary

    def anew():
        for name in ("workspace", "out"):
            shutil.rmtree(tmp_path / name, ignore_errors=True)

    anew()
    while killed_at(step, cross_validate):
        shown = results()
        assert shown.items() <= whole.items()
        assert sum(name.startswith("folds/") for name in shown) in (0, 4)
        cross_validate()
        assert results() == whole
        anew()
        step += STEP
    assert step > 10 * STEP
