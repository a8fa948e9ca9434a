"""Whole runs of one small model: what it is compared with, and what is said about it. They build on each other, so this is one test."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cxr.components.baseline.push_record import read_record
from cxr.core import exit_codes
from cxr.trainer.artifact import read_info

CXR = Path(sys.executable).with_name("cxr")
CONFIG = {
    "name": "small",
    "demo_data": {"images": 90, "image_size": 64, "seed": 5},
    "data": {"splits": {"train": 0.5, "val": 0.25, "test": 0.25}, "seed": 2021},
    "image_size": 32,
    "models": {"mobilenet": {"backbone": "MobileNet", "weights": "none", "head_training": {"epochs": 1}}},
    "ensemble": None,
    "gate": {"min_accuracy": 0.0, "tolerance": 1.0},
}


@pytest.mark.slow
@pytest.mark.e2e
def test_what_a_candidate_is_compared_with(tmp_path):
    home = tmp_path / "workspace" / "small"
    folder = home / "serving_models" / "mobilenet"
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(CONFIG))

    def run(*arguments):
        command = [CXR, "run", "--config", tmp_path / "small.yaml", "--workspace", home.parent, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, env={**os.environ, "COLUMNS": "120"})
        assert done.returncode == exit_codes.OK, done.stdout + done.stderr
        report = json.loads((home / "runs" / "latest" / "report.json").read_text())
        return done, report["models"]["mobilenet"], report["nodes"]

    def pushed():
        return sorted(entry.name for entry in folder.iterdir() if entry.name.isdecimal())

    # === The first push: judged by the bounds alone, with its provenance ===
    _, first, _ = run()
    assert (first["champion"], first["baseline"], first["notes"]) == (None, None, [])
    record, info = read_record(folder / first["version"]), read_info(str(folder / first["version"]))
    assert (record.pipeline, record.split, record.baseline, record.floor) == ("small", "test", None, first["version"])
    assert record.metrics["accuracy"] == first["evaluation"]["accuracy"]
    assert record.run
    assert info.synthetic
    assert info.code_version
    assert sum(info.data.images["train"].values()) >= 30

    # === The same again: nothing new ===
    _, again, nodes = run()
    assert (again["version"], pushed()) == (first["version"], [first["version"]])
    assert {name: node["state"] for name, node in nodes.items() if node["state"] != "cached"}.keys() == {
        "Baseline-mobilenet",
        "Pusher-mobilenet",
    }

    # === Another model: compared with the first; the better one of the two is the floor ===
    _, second, _ = run("models.mobilenet.head_training.epochs=3")
    assert (second["champion"], second["baseline"]) == (first["version"], first["version"])
    assert second["evaluation"]["baseline_accuracy"] == first["evaluation"]["accuracy"]
    record = read_record(folder / second["version"])
    better = second["evaluation"]["accuracy"] >= first["evaluation"]["accuracy"]
    assert (record.baseline.version, record.floor) == (first["version"], second["version"] if better else first["version"])

    # === Back to the first configuration: the server's newest version must be what the report says ===
    _, third, _ = run()
    assert third["version"] not in (first["version"], second["version"])
    assert third["version"] == pushed()[-1]

    # === Other data under the same name: said, and compared all the same where that is fair ===
    done, other, _ = run("demo_data.seed=6")
    assert other["baseline"]
    (note,) = other["notes"]
    assert note.startswith(f"trained on other data than the champion (version {third['version']}): train ")
    assert f"mobilenet: {note}" in done.stdout

    # === Another deal of the same images: the old models have seen images that the gate judges on ===
    done, dealt, _ = run("demo_data.seed=6", "data.seed=7")
    assert dealt["baseline"] is None
    assert "has seen" in dealt["notes"][0]
    assert "no baseline, the gate's bounds decide alone" in done.stderr
    assert read_record(folder / dealt["version"]).floor == dealt["version"]
