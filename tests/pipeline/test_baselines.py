"""What a candidate is compared with, and what is said about it."""

import json

import pytest
import yaml
from here import cxr

from cxr.components.baseline.champion import Champion
from cxr.components.baseline.push_record import read_record
from cxr.components.baseline.rule import Choice
from cxr.core import exit_codes
from cxr.pipeline.baselines import change_of_data, choose_all, remarks
from cxr.pipeline.pipeline_config import load
from cxr.trainer.model_info import ModelInfo, read_info

CONFIG = {
    "name": "small",
    "demo_data": {"images": 90, "image_size": 64, "seed": 5},
    "data": {"splits": {"train": 0.5, "val": 0.25, "test": 0.25}, "seed": 2021},
    "image_size": 32,
    "models": {"mobilenet": {"backbone": "MobileNet", "weights": "none", "head_training": {"epochs": 1}}},
    "ensemble": None,
    "gate": {"min_accuracy": 0.0, "above_chance": False, "tolerance": 1.0, "shortcut_margin": None},
    "audit": {"masked_models": False, "folds": 2},
    "explain": {"samples": 2},
}


def test_a_first_run_reads_no_images(tmp_path):
    config = load("cpu")
    assert choose_all(config, tmp_path / "missing", tmp_path / "models") == dict.fromkeys(config.candidates, Choice())


def of_data(fingerprint, images):
    return ModelInfo(
        name="mobilenet", class_names=("a", "b"), image_size=32, data={"fingerprint": fingerprint, "images": images, "synthetic": 0}
    )


def test_a_change_of_data_is_a_sentence(tmp_path):
    pushed = Champion(version="17", fingerprint="f", source="/runs/1", pushed_at="", folder=tmp_path / "17")
    choice = Choice(champion=pushed, info=of_data("old", {"train": {"a": 3, "b": 4}, "val": {"a": 1, "b": 1}}))
    assert change_of_data(choice, of_data("old", {})) == ""
    assert change_of_data(choice, of_data("new", {"train": {"a": 5, "b": 6}})) == (
        "trained on other data than the champion (version 17): train 11 now, train 7, val 2 then"
    )
    assert change_of_data(Choice(), of_data("new", {})) == ""  # nothing pushed yet
    assert change_of_data(Choice(champion=pushed), of_data("new", {})) == ""  # nobody knows


def test_what_a_user_must_know_about_the_choice(tmp_path):
    assert list(remarks(Choice(baseline=tmp_path / "17"))) == []
    assert list(remarks(Choice(baseline=tmp_path / "18", reasons=("version 17 is gone",)))) == [
        "compared with version 18: version 17 is gone"
    ]
    assert list(remarks(Choice(reasons=("version 17 is gone",)))) == ["no baseline, only the gate's bounds decide: version 17 is gone"]


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.long
def test_whole_runs_on_changing_data(tmp_path, capfd, monkeypatch):
    """They build on each other, so this is one test; runs on the same data are in components/pusher and in the end-to-end test."""
    home = tmp_path / "workspace" / "small"
    folder = home / "serving_models" / "mobilenet"
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(CONFIG))

    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments):
        done = cxr(capfd, "run", "--config", tmp_path / "small.yaml", "--workspace", home.parent, *arguments)
        assert done.returncode == exit_codes.OK, done.stdout + done.stderr
        report = json.loads((home / "runs" / "latest" / "report.json").read_text())
        return done, report["models"]["mobilenet"]

    def record_of(model):
        found = read_record(folder / model["version"])
        assert found is not None
        return found

    # === The first push: judged by the bounds alone, with its provenance ===
    _, first = run()
    assert (first["champion"], first["baseline"], first["notes"]) == (None, None, [])
    record, info = record_of(first), read_info(str(folder / first["version"]))
    assert (record.pipeline, record.split, record.baseline, record.floor) == ("small", "test", None, first["version"])
    assert record.metrics["accuracy"] == first["evaluation"]["accuracy"]
    assert record.run
    assert info.synthetic
    assert info.code_version
    assert info.data is not None
    assert sum(info.data.images["train"].values()) >= 30

    # === Other data under the same name: said, and compared all the same where that is fair ===
    done, other = run("demo_data.seed=6")
    assert (other["champion"], other["baseline"]) == (first["version"], first["version"])
    (note,) = other["notes"]
    assert note.startswith(f"trained on other data than the champion (version {first['version']}): train ")
    assert f"mobilenet: {note}" in done.stdout

    # === Another deal of the same images: the second model has seen images that the gate judges on, the first has not ===
    best = record_of(other).floor
    done, dealt = run("demo_data.seed=6", "data.seed=7")
    if best == first["version"]:  # which of the two is better hangs on a random backbone
        assert dealt["baseline"] == first["version"]
    else:
        assert dealt["baseline"] is None
        assert "has seen" in dealt["notes"][0]
        assert "no baseline, only the gate's bounds decide" in done.stderr
        assert record_of(dealt).floor == dealt["version"]
