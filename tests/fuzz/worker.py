"""One target in a process of its own: a decoder that ends the process ends no more than this one.

usage: python -m tests.fuzz.worker TARGET ENGINE RUNS SECONDS SEED FOLDER      (PYTHONPATH: tests/helpers)

With the engine `replay` FOLDER is the one input. Else it gets `input`, the one under way, which stays there when it fails, and
`outcome.json`, what was done so far.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import time
import warnings
from pathlib import Path
from random import Random

from .harness import MEGABYTE, Target, attempt, resident
from .inputs import LARGEST, drawn, edited, random_edits
from .targets import make_target

INPUT, OUTCOME = "input", "outcome.json"
HARD_SECONDS = 60  # a call into C code that does not come back ends with the process
_SETTLED = 500  # inputs until caches and pools have their size
_INSTRUMENTED = ["cxr", "pydicom", "PIL", "starlette"]


class Progress:
    """What was done so far, on disk."""

    def __init__(self, folder: Path, target: Target):
        """Takes the folder of the worker."""
        self._folder, self._target, self._begin = folder, target, time.monotonic()
        self.inputs = self._peak = self._settled = 0

    def attempt(self, data: bytes) -> None:
        """Gives an input to the target; raises what `harness.attempt` raises."""
        (self._folder / INPUT).write_bytes(data)
        faulthandler.dump_traceback_later(HARD_SECONDS, exit=True)
        self._peak = max(self._peak, attempt(self._target, data))
        self.inputs += 1
        if self.inputs == _SETTLED:
            self._settled = resident("VmRSS")
        if self.inputs % 100 == 0:
            self.write()

    def write(self) -> None:
        """Keeps the figures."""
        now = resident("VmRSS")
        figures = {
            "inputs": self.inputs,
            "seconds": round(time.monotonic() - self._begin, 1),
            "megabytes_of_one_input": round(self._peak / MEGABYTE),
            "megabytes_grown": round((now - self._settled) / MEGABYTE) if self._settled else 0,
        }
        (self._folder / OUTCOME).write_text(json.dumps(figures))

    def over(self, runs: int, seconds: float) -> bool:
        """Tells whether enough was done; 0 seconds: as long as the runs take."""
        return self.inputs >= runs or bool(seconds and time.monotonic() - self._begin > seconds)


def main(name: str, engine: str, runs: int, seconds: float, seed: int, folder: Path) -> None:
    """Runs until enough was done, or an input fails."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.simplefilter("ignore")
    faulthandler.enable()
    if engine == "replay":  # the folder is the input
        attempt(make_target(name), folder.read_bytes())
        print("passed")
    elif engine == "atheris":
        _guided(name, runs, seconds, seed, folder)
    else:
        _random(name, runs, seconds, seed, folder)


def _random(name: str, runs: int, seconds: float, seed: int, folder: Path) -> None:
    target = make_target(name)
    progress = Progress(folder, target)
    for data in target.seeds:
        progress.attempt(data)
    while not progress.over(runs, seconds):
        progress.attempt(drawn(Random(f"{seed} {progress.inputs}"), target.seeds, target.make))
    progress.write()


def _guided(name: str, runs: int, seconds: float, seed: int, folder: Path) -> None:
    """Lets libFuzzer choose: inputs that reach new branches of the Python code are kept and changed further."""
    import atheris

    with atheris.instrument_imports(include=_INSTRUMENTED):
        target = make_target(name)
    progress = Progress(folder, target)
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, data in enumerate(target.seeds):
        (corpus / str(number)).write_bytes(data)

    def mutated(data: bytes, max_size: int, number: int) -> bytes:
        rng = Random(number)
        if target.make is not None and rng.random() < 0.3:
            return target.make(rng)[:max_size]
        return edited(data, random_edits(rng))[:max_size] if rng.random() < 0.7 else atheris.Mutate(data, max_size)

    def one(data: bytes) -> None:
        progress.attempt(data)
        if progress.over(runs, seconds):
            progress.write()
            sys.stderr.flush()
            os._exit(0)

    options = ["-handle_alrm=0", f"-seed={seed + 1}", f"-max_len={LARGEST}", "-rss_limit_mb=0", f"-artifact_prefix={folder}/"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    given = sys.argv[1:]
    main(given[0], given[1], int(given[2]), float(given[3]), int(given[4]), Path(given[5]))
