"""The whole pipeline as a user runs it: all four models on small synthetic images; then what must not pass, with networks built sooner."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf
import yaml
from here import cxr

from cxr.core import exit_codes

CXR = Path(sys.executable).with_name("cxr")
CONFIG = {
    "name": "small",
    "demo_data": {"images": 90, "image_size": 64, "seed": 5},
    "data": {"splits": {"train": 0.5, "val": 0.25, "test": 0.25}, "seed": 2021},
    "image_size": 32,
    "defaults": {
        "weights": "none",
        "bn_recalibration": "per_layer",
        "head": {"normalize": True, "l2": 0.1},
        "head_training": {"epochs": 2, "batch_size": 16, "optimizer": {"learning_rate": 0.001}},
    },
    "models": {
        "densenet201": {"backbone": "DenseNet201"},
        # One variance per layer makes it explode on pictures unlike its training images; the check before training refuses that.
        "efficientnetb7": {"backbone": "EfficientNetB7", "bn_recalibration": "none"},
        "mobilenet": {"backbone": "MobileNet"},
    },
    # Networks that learnt for two epochs at random: what they would be held to elsewhere is not what is tried here.
    "gate": {"min_accuracy": 0.0, "above_chance": False, "tolerance": 1.0, "shortcut_margin": None},
    "audit": {"masked_models": False},  # tests/components/shortcut_check asks a model that answers at once
}

# What a run does with what is there already hangs on no backbone.
QUICK = {
    **CONFIG,
    "models": {"other": {"backbone": "MobileNetV2"}, "mobilenet": {"backbone": "MobileNet"}},
    "audit": {"masked_models": False, "folds": 2},
    "explain": {"samples": 2},
}

pytestmark = [pytest.mark.slow, pytest.mark.e2e]


class Pipeline:
    """The arguments of `cxr run` in a workspace, and what it left there."""

    def __init__(self, folder: Path, config: dict):
        self.home = folder / "workspace" / "small"
        self.models = (*config["models"], "ensemble")
        file = folder / "small.yaml"
        file.write_text(yaml.safe_dump(config))
        self.run = ("run", "--config", str(file), "--workspace", str(self.home.parent))

    def report(self) -> dict:
        report = self.home / "runs" / "latest" / "report.json"
        return json.loads(report.read_text()) if report.is_file() else {}

    def pushed(self) -> dict[str, list[str]]:
        return {model: self.versions(model) for model in self.models}

    def versions(self, model: str) -> list[str]:
        return sorted(entry.name for entry in (self.home / "serving_models" / model).iterdir() if entry.name.isdecimal())

    def files(self) -> dict[str, int]:
        return {str(file): file.stat().st_mtime_ns for file in (self.home / "serving_models").rglob("*") if file.is_file()}


def states(report: dict, *roles: str) -> set[str]:
    return {node["state"] for name, node in report["nodes"].items() if name.split("-")[0] in roles}


def test_pipeline(tmp_path):
    """Everything is made, blessed without a baseline and pushed, by a command that a shell would start."""
    pipeline = Pipeline(tmp_path, CONFIG)
    environment = {**os.environ, "COLUMNS": "120"}
    done = subprocess.run([CXR, *pipeline.run], capture_output=True, text=True, timeout=1500, env=environment, cwd=tmp_path)
    report = pipeline.report()
    assert done.returncode == exit_codes.OK, done.stdout + done.stderr
    assert {name: model["outcome"] for name, model in report["models"].items()} == dict.fromkeys(pipeline.models, "pushed")
    assert all(model["blessed"] and model["servable"] for model in report["models"].values())
    assert all(model["evaluation"]["baseline_accuracy"] is None for model in report["models"].values())
    assert report["synthetic"]
    assert "SYNTHETIC" in done.stdout
    assert re.search(r"^models: workspace/small/serving_models$", done.stdout, re.MULTILINE)  # as one types it there
    assert "random" in done.stdout  # that the backbones have no trained weights is said where the numbers are
    assert "Trainer-densenet201" in done.stderr
    assert "tensorflow" not in done.stderr.lower().replace("importing tfx and tensorflow", "")  # the libraries' noise is in the log
    first = pipeline.pushed()
    assert all(len(versions) == 1 for versions in first.values())
    model = tf.saved_model.load(str(pipeline.home / "serving_models" / "ensemble" / first["ensemble"][0]))
    assert set(model.signatures) == {"serving_default", "image_bytes", "image_tensor", "gradcam", "transform_labels", "image_reading"}
    card = json.loads((pipeline.home / "serving_models" / "ensemble" / first["ensemble"][0] / "assets.extra/model_card.json").read_text())
    assert dict(card["sections"]["Model"]["facts"])["kind"] == "ensemble of densenet201, efficientnetb7, mobilenet"
    assert "synthetic-data" in card["metadata"]["tags"]
    evaluation = report["models"]["ensemble"]["evaluation"]
    assert evaluation["accuracy_interval"]["low"] <= evaluation["accuracy"] <= evaluation["accuracy_interval"]["high"]
    assert {part["feature"] for part in evaluation["slices"]} == {"label", "source", "view", "sex", "age_band"}
    assert not report["drift"]["compared"]
    assert "drift: no earlier run used other data" in done.stdout
    assert {shortcut["name"] for shortcut in report["audit"]["shortcuts"]} >= {"source", "grey_histogram", "corners", "border"}
    for model in report["models"].values():
        assert model["shortcut_check"]["balanced_accuracy"] == pytest.approx(model["evaluation"]["balanced_accuracy"])
        assert model["shortcut_check"]["comparisons"][0]["verdict"] in done.stdout

    assert report["explanation"]["model"] == "ensemble"
    assert report["explanation"]["samples"] == min(48, report["models"]["ensemble"]["evaluation"]["examples"])
    page = (pipeline.home / "runs/latest/report.html").read_text()
    assert "Where ensemble looks" in page
    began = json.loads((pipeline.home / "runs/latest/run.json").read_text())["began"]
    assert f'began <time datetime="{began}">' in page


@pytest.mark.long
def test_runs_on_what_earlier_ones_left(tmp_path, capfd, monkeypatch):
    """They build on each other (the later ones use the cache and the baseline of the first), so this is one test."""
    monkeypatch.setenv("COLUMNS", "120")
    pipeline = Pipeline(tmp_path, QUICK)

    def run(*arguments: str) -> tuple[subprocess.CompletedProcess, dict]:
        return cxr(capfd, *pipeline.run, *arguments), pipeline.report()

    done, report = run()
    assert done.returncode == exit_codes.OK, done.stdout + done.stderr
    first = pipeline.pushed()
    assert all(len(versions) == 1 for versions in first.values())

    # === The same again: from the cache, nothing new is pushed ===
    done, report = run()
    assert done.returncode == exit_codes.OK, done.stdout + done.stderr
    looking = ("Baseline", "PreviousStatistics", "Pusher")  # look anew what there is
    assert {node["state"] for name, node in report["nodes"].items() if not name.startswith(looking)} == {"cached"}
    assert pipeline.pushed() == first

    # === One model changed: it and the ensemble are compared with the pushed ones, and pushed as new versions ===
    done, report = run("models.mobilenet.head_training.epochs=3")
    assert done.returncode == exit_codes.OK, done.stdout + done.stderr
    assert re.search(r"^features from the cache: mobilenet (\d+) of \1$", done.stdout, re.MULTILINE)
    for name, candidate in report["models"].items():
        changed = name in ("mobilenet", "ensemble")
        assert (candidate["evaluation"]["baseline_accuracy"] is not None) == changed
        assert len(pipeline.pushed()[name]) == 1 + changed
    second = pipeline.files()

    # === A gate that nothing passes, and the same records elsewhere: exit code, reason, nothing pushed and nothing lost ===
    (records,) = (pipeline.home / "data").glob("*-records")
    done, report = run("gate.min_accuracy=1.0", "--data", str(shutil.copytree(records, tmp_path / "elsewhere")))
    assert done.returncode == exit_codes.REFUSED, done.stdout + done.stderr
    assert {candidate["outcome"] for candidate in report["models"].values()} == {"refused"}
    assert "is below 1" in done.stdout
    assert states(report, "ImportExampleGen", "Trainer") == {"cached"}
    assert pipeline.files() == second

    # === Data that break the schema: the run stops before it trains, and says what is wrong ===
    broken = tmp_path / "broken"
    shutil.copytree(records, broken)
    file = next((broken / "val").glob("*.tfrecord.gz"))
    options = tf.io.TFRecordOptions(compression_type="GZIP")
    examples = [tf.train.Example.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(file), "GZIP")]
    examples[0].features.feature["label"].bytes_list.value[:] = [b"tuberculosis"]
    with tf.io.TFRecordWriter(str(file), options) as writer:
        for example in examples:
            writer.write(example.SerializeToString())
    about = json.loads((broken / "dataset.json").read_text())
    about["files"][f"val/{file.name}"] = file.stat().st_size  # else they would count as cut short
    (broken / "dataset.json").write_text(json.dumps(about))
    done, report = run("--data", str(broken))
    assert done.returncode == exit_codes.FAILED, done.stdout + done.stderr
    assert "tuberculosis" in done.stderr
    assert report["drift"]["compared"]  # with the data before, of which these are a copy
    assert max(one["distance"] for one in report["drift"]["distances"] if one["split"] == "train") < 0.01
    assert report["nodes"]["AnomalyCheck"]["state"] == "failed"
    assert states(report, "Transform", "Trainer", "Evaluator", "Pusher") == {"skipped"}
    assert pipeline.files() == second
