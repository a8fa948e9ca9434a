"""What the documentation shows can be typed: each command is understood, and each that needs nothing but this machine does what it says."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import prepared
import pytest
import typer
import yaml
from rich.console import Console
from shown import PAGES, ROOT, Shown, commands

from cxr.cli.main import app
from cxr.core import exit_codes
from cxr.data.demo.generate import make_demo_data

BIN = Path(sys.executable).parent
SHOWN = [shown for page in PAGES for shown in commands(page)]
RUN = [shown for shown in SHOWN if shown.not_run is None and not shown.text.startswith(("make", ".venv/bin/pre-commit"))]
COMMAND = typer.main.get_command(app)
CONFIG = {
    "name": "cpu",
    "image_size": 32,
    "defaults": {"weights": "none", "head": {"l2": 0.1}, "head_training": {"epochs": 2, "batch_size": 16}},
    "models": {"mobilenet": {"backbone": "MobileNet"}, "other": {"backbone": "MobileNetV2"}},
    "ensemble": {"folds": 2},
    # Networks that learnt for two epochs: what they would be held to elsewhere is not what is tried here.
    "gate": {"min_accuracy": 0.0, "above_chance": False, "tolerance": 1.0, "shortcut_margin": None},
    "audit": {"masked_models": False, "folds": 2},
}


def test_pages_are_read():
    assert len(SHOWN) > 60
    assert {shown.page for shown in SHOWN} >= {"README.md", "docs/data.md", "docs/evaluation.md", "docs/serving.md", "docs/kubeflow.md"}
    assert {"cxr", "make", "curl", "kubectl", "docker"} <= {shown.text.split()[0] for shown in SHOWN}


@pytest.mark.parametrize("shown", [s for s in SHOWN if s.text.startswith("cxr ")], ids=lambda shown: shown.where)
def test_options_exist(shown: Shown):
    words = shlex.split(re.split(r"\s[|>&]", shown.text)[0])[1:]
    command = COMMAND
    context = command.make_context("cxr", list(words))
    while hasattr(command, "resolve_command") and (context._protected_args or context.args):  # `cxr cache` shows, its commands change
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert command is not None, f"{shown.where}: no command {name!r}"
        context = command.make_context(name, list(rest), parent=context)


@pytest.mark.parametrize("shown", [s for s in SHOWN if s.text.startswith("make ")], ids=lambda shown: shown.where)
def test_targets_exist(shown: Shown):
    target = shlex.split(shown.text)[1]
    assert re.search(rf"^{re.escape(target)}:.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE), f"{shown.where}: no target {target}"


class World:
    """A folder with what the pages speak of: images, manifests, a pushed pipeline, a server with labels."""

    def __init__(self, home: Path):
        self.home = home
        self.environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(home), "COLUMNS": "150", "BROWSER": "true"}
        manifest = make_demo_data(home / "made", images=240, image_size=64, seed=5, console=Console(quiet=True))
        rows = pd.read_csv(manifest)
        rows["image"] = [str(manifest.parent / image) for image in rows.image]
        self.split_by_hospital(rows)
        (home / "cpu.yaml").write_text(yaml.safe_dump(CONFIG))
        shutil.copytree(ROOT / "deploy", home / "deploy")
        self.server: subprocess.Popen | None = None
        self.page = ""
        self.done: set[str] = set()
        self.addresses: dict = {}

    def split_by_hospital(self, rows: pd.DataFrame) -> None:
        """Four in five patients are ours, the others are another hospital's."""
        patients = sorted(set(rows.patient_id))
        theirs = rows.patient_id.isin(patients[-len(patients) // 5 :])
        rows["subset"] = "main"
        rows["site"] = ["B" if other else "A" for other in theirs]
        for folder, some in (("xrays", rows[~theirs]), ("hospital", rows[theirs])):
            for label, image in zip(some.label, some.image, strict=True):
                (self.home / folder / label).mkdir(parents=True, exist_ok=True)
                shutil.copy(image, self.home / folder / label)
        for name in ("image.png", "xray.png"):
            shutil.copy(rows.image[0], self.home / name)
        for name in ("images", "folder"):
            (self.home / name).mkdir()
            for image in rows.image[:3]:
                shutil.copy(image, self.home / name)
        rows.assign(image=[f"made/images/{Path(image).name}" for image in rows.image]).to_csv(self.home / "manifest.csv", index=False)
        answers = pd.DataFrame({"label": rows.label, "patient_id": rows.patient_id, "covid19": 0.2, "pneumonia": 0.3, "normal": 0.5})
        answers.to_csv(self.home / "answers.csv", index=False)

    def command(self, shown: Shown) -> str:
        """The command as it is typed here: own names, a small configuration, free ports."""
        text = shown.text
        version = max((self.home / "workspace/cpu/serving_models/ensemble").glob("[0-9]*"), default=None)
        newest = max((self.home / "workspace/cpu/runs").glob("2*"), default=None)
        for pattern, here in (
            (r"^(cxr crossval --config cpu\b)", r"\1 --folds 2"),
            (r"--config cpu\b", "--config cpu.yaml"),
            (r"demo-data xrays", "demo-data xrays --images 120 --size 64"),
            (r"~/xrays", "xrays"),
            (r" study\.dcm", ""),
            (r"( ensemble\.folds=2)$", ""),  # CONFIG says so: with it another page's command would be run again
            (r"^cxr serve MODELS_DIR", "cxr serve one-model"),
            (r"MODELS_DIR|workspace/demo/serving_models", "workspace/cpu/serving_models"),
            (r"--base-path /models", f"--base-path {self.home}/workspace/cpu/serving_models"),
            (r"\b1790000000\b", version.name if version else ""),
            (r"\bRUN\b", newest.name if newest else ""),
            (r"127\.0\.0\.1:8500", self.addresses.get("address", "")),
            (r"localhost:8501", self.addresses.get("rest_address", "")),
            (r"--duration 10", "--duration 1"),
            (r"^cxr lineage ensemble", "cxr lineage ensemble --pipeline cpu"),  # there is no demo's here
            (r"^(cxr serving (?:promote|rollback|status) .*)", rf"\1 --server {self.addresses.get('address', '')}"),
            (r" --port 0\b", ""),
            (r"^(cxr serve .*) --json\b", r"\1"),  # `serve` adds it to each
        ):
            text = re.sub(pattern, here, text)
        return f"{text} --port 0 --rest-port 0" if text.startswith("cxr serve ") else text

    def run(self, shown: Shown) -> None:
        self.begin(shown.page)
        text = self.command(shown)
        if text.startswith(("cxr ingest ", "cxr demo-data ")):  # on the pages it is the first step, each time
            shutil.rmtree(self.home / text.split()[3 if "ingest" in text else 2], ignore_errors=True)
        elif text in self.done:  # another page shows it too; most of a command's time is TensorFlow's start
            return
        self.done.add(text)
        if text.startswith("cxr serve "):
            process, _ = self.serve(text)
            self.stop(process, shown)
            return
        plain = text.startswith("cxr ") and not set(text) & set("|>&$~*`")
        command: list[str | Path] = [BIN / "cxr", *shlex.split(text)[1:]] if plain else ["bash", "-c", text]
        done = prepared.run(command, cwd=self.home, env=self.environment, timeout=900)
        allowed = {exit_codes.OK, exit_codes.REFUSED} if text.startswith("cxr validate ") else {exit_codes.OK}
        assert done.returncode in allowed, f"{shown.where}: {text}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        if text.startswith("cxr ingest "):
            shutil.copytree(self.home / "records", self.home / "records2", dirs_exist_ok=True)
            if not (self.home / "first-records").exists():
                shutil.copytree(self.home / "records", self.home / "first-records")
        if text.startswith("cxr run ") and self.server is None:
            self.after_the_first_run()

    def begin(self, page: str) -> None:
        """Each page begins with the first records: what the nodes made of them is in the cache, whatever another page has read since."""
        first = self.home / "first-records"
        if page != self.page and first.exists():
            shutil.rmtree(self.home / "records", ignore_errors=True)
            shutil.copytree(first, self.home / "records")
        self.page = page

    def after_the_first_run(self) -> None:
        """The pages on serving have pushed models, a second version to promote, and a server with labels."""
        models = self.home / "workspace/cpu/serving_models"
        (version,) = models.glob("ensemble/[0-9]*")
        shutil.copytree(models / "mobilenet", self.home / "one-model/mobilenet")  # what is served where options are tried
        configure = "cxr serving config workspace/cpu/serving_models --out models.config"
        subprocess.run(["bash", "-c", configure], cwd=self.home, env=self.environment, check=True, capture_output=True)
        shutil.copytree(version, version.with_name(str(int(version.name) + 1)))
        serve = "cxr serve --model-config-file models.config --allow-version-labels-for-unavailable-models --port 0 --rest-port 0"
        self.server, self.addresses = self.serve(f"{serve} --log-requests logs --log-sampling 1")
        self.environment["CXR_SERVER"] = self.addresses["address"]
        subprocess.run(["bash", "-c", "cxr predict images/"], cwd=self.home, env=self.environment, check=True, capture_output=True)
        self.stop(self.server)  # what it logged is whole now
        self.server, self.addresses = self.serve(serve)
        self.environment["CXR_SERVER"] = self.addresses["address"]

    def serve(self, text: str) -> tuple[subprocess.Popen, dict]:
        process = subprocess.Popen(
            shlex.split(text if "--json" in text else f"{text} --json"),
            cwd=self.home, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"{text}: ended with {process.wait()}"
        return process, yaml.safe_load(line)

    def stop(self, process: subprocess.Popen, shown: Shown | None = None) -> None:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, shown and shown.where


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.long
def test_shown_commands_run(tmp_path):
    world = World(tmp_path)
    failures = []
    try:
        for shown in RUN:
            try:
                world.run(shown)
            except AssertionError as error:
                failures.append(str(error))
    finally:
        if world.server:
            world.server.kill()
    assert not failures, "\n\n".join(failures)
    assert world.server is not None
