"""`cxr run`, with everything that it does, beside a plain Keras script that only trains the same three frozen backbones."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from bench.data import Data
from bench.row import FLOOR, Done, Round, Row, Side
from cxr.core import exit_codes

EPOCHS, BATCH = 16, 16
MEASURED = 2  # epochs of the script, of which the first traces; the others cost what the last one does
HOUR = 3600.0
SCRIPT = Path(__file__).parents[2] / "plain_keras.py"


def pipeline(data: Data, stack: ExitStack) -> Round:
    """Configuration cpu in a fresh workspace, with its own, empty feature cache."""
    fixed = [f"epochs={EPOCHS}", f"batch_size={BATCH}", "early_stopping=null"]

    def work() -> Done:
        with tempfile.TemporaryDirectory(dir=data.folder) as folder:
            places = ["--data", data.records(), "--workspace", folder]
            settings = [f"defaults.head_training.{setting}" for setting in fixed]
            began = time.perf_counter()
            # a gate that refuses takes as long
            _output([Path(sys.executable).with_name("cxr"), "run", "--config", "cpu", *places, *settings], exit_codes.REFUSED)
            return Done(HOUR, time.perf_counter() - began)

    return work


def script(data: Data, stack: ExitStack) -> Round:
    """benchmarks/plain_keras.py, of which two epochs are measured."""

    def work() -> Done:
        began = time.perf_counter()
        told = _output([sys.executable, SCRIPT, data.records(), "--epochs", MEASURED, "--batch", BATCH])
        seconds = time.perf_counter() - began
        epochs = json.loads(told.splitlines()[-1])["epoch_seconds"]
        return Done(HOUR, seconds + sum(statistics.median(each[1:]) * (EPOCHS - MEASURED) for each in epochs.values()))

    return work


def passes(data: Data, stack: ExitStack) -> Round:
    """The same script's pass of all images through each backbone."""

    def work() -> Done:
        told = _output([sys.executable, SCRIPT, data.records(), "--batch", BATCH, "--passes"])
        return Done(HOUR, sum(json.loads(told.splitlines()[-1])["pass_seconds"].values()))

    return work


def _output(command: list[object], *also_right: int) -> str:
    ended = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    print(ended.stdout)
    if ended.returncode not in (0, *also_right):
        raise RuntimeError(f"{Path(str(command[0])).name} ended with exit code {ended.returncode}")
    return ended.stdout


ROW = Row(
    "whole",
    f"three models with {EPOCHS} epochs; ours also validates, joins, evaluates, explains, checks, pushes",
    "runs/hour",
    Data.records,
    Side("cxr run, configuration cpu", pipeline),
    (
        Side(f"plain Keras script ({MEASURED} epochs measured)", script, 4),
        Side("one pass of all images through each backbone", passes, FLOOR),
    ),
    warm_up=False,
    most_rounds=1,
    by_default=False,
)
