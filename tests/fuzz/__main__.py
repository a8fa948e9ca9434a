"""Gives thousands of hostile inputs to everything that reads what strangers made; `make fuzz` calls it.

Each target runs in a process of its own. An input that fails stays in --out, with what it did to the process; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.table import Table

from .targets import TARGETS
from .worker import OUTCOME

HELPERS = Path(__file__).parents[1] / "helpers"  # pytest finds them by itself
EXAMPLES = """examples:
  make fuzz                                        all targets, 10,000 inputs each
  make fuzz ARGS='dicom --runs 200000'             one of them, longer
  make fuzz ARGS='--runs 1000000000 --seconds 600' ten minutes each
  make fuzz ARGS='dicom --replay workspace/fuzz/dicom/input'   an input that failed, again
"""


def main() -> int:
    """Returns the exit code: 1 where an input failed."""
    given = _arguments()
    if given.replay:
        return _worker([given.targets[0], "replay", "0", "0", "0", str(given.replay)])
    guided = importlib.util.find_spec("atheris") is not None
    engine = given.engine or ("atheris" if guided else "random")
    if engine == "random" and not given.engine:
        print("atheris is not installed: inputs are drawn without looking at what they reach", file=sys.stderr)
    table, failed = Table(title=f"engine {engine}, seed {given.seed}"), False
    for column in ("target", "inputs", "seconds", "MB of one input, at most", "MB grown", "outcome"):
        table.add_column(column, justify="left" if column in ("target", "outcome") else "right")
    for name in given.targets or TARGETS:
        folder = given.out / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        figures, outcome = _run(name, engine, given, folder)
        failed |= outcome != "passed"
        keys = ("inputs", "seconds", "megabytes_of_one_input", "megabytes_grown")
        table.add_row(name, *(str(figures.get(key, 0)) for key in keys), outcome)
        print(f"{name}: {figures.get('inputs', 0)} inputs, {outcome}", file=sys.stderr)
    Console().print(table)
    return int(failed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "make fuzz", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--runs", type=int, default=10_000, help="inputs of each target (10000)")
    parser.add_argument("--seconds", type=float, default=0, help="stop a target after so long, whatever its runs")
    parser.add_argument("--engine", choices=("atheris", "random"), help="default: atheris where it is installed")
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    parser.add_argument("--out", type=Path, default=Path("workspace/fuzz"), help="where inputs that failed and the logs stay")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="give this input alone to the one target that is named")
    given = parser.parse_args()
    if unknown := set(given.targets) - set(TARGETS):
        parser.error(f"no target {min(unknown)}; there are {', '.join(TARGETS)}")
    if given.replay and len(given.targets) != 1:
        parser.error("--replay needs one target")
    return given


def _run(name: str, engine: str, given: argparse.Namespace, folder: Path) -> tuple[dict[str, float], str]:
    """Returns a target's figures, and "passed" or what is to be looked at."""
    with (folder / "log").open("wb") as log:
        code = _worker([name, engine, str(given.runs), str(given.seconds), str(given.seed), str(folder)], log)
    figures = json.loads((folder / OUTCOME).read_text()) if (folder / OUTCOME).is_file() else {}
    return figures, "passed" if code == 0 else f"failed with code {code}: see {folder}"


def _worker(arguments: list[str], output: IO[bytes] | None = None) -> int:
    """Returns the exit code of a worker."""
    command = [sys.executable, "-m", f"{__package__}.worker", *arguments]
    with tempfile.TemporaryDirectory(prefix="cxr-fuzz-") as scratch:  # not the worker's to remove: a decoder, or libFuzzer, may end it
        environment = os.environ | {"PYTHONPATH": str(HELPERS), "TMPDIR": scratch}
        return subprocess.run(command, stdout=output, stderr=output and subprocess.STDOUT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
