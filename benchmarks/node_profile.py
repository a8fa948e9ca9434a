"""What each node of a run takes: time, processor time by what it went to, memory.

    python benchmarks/node_profile.py                                       configuration demo: 5 minutes on 2 cores
    python benchmarks/node_profile.py -- --config cpu --data records        what stands behind -- is given to `cxr run`
    python benchmarks/node_profile.py --run workspace/demo/runs/latest      a finished run with --profile; seconds

Makes tables like that of docs/performance.md. Runs `cxr run --profile --no-cache` in a workspace of its own. Processor time is shown, since
other work on the machine changes it little; the clock is beside it. Grappler's time is TensorFlow's own measurement, on the clock, and lies
within the time of running and loading; of servers (InfraCheck) it is not seen, nor of runs that were not started from here.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from cxr.pipeline.node_profile import PROFILE, SUBJECTS
from cxr.pipeline.workspace import LOG, REPORT, all_runs

_GRAPPLER = re.compile(r"\[([^\]]+)\] .*meta_optimizer.*time = ([0-9.e+-]+)ms")


def main() -> None:
    """Runs the pipeline, or reads a run, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="folder of a finished run to read in place of one of its own")
    parser.add_argument("arguments", nargs="*", help="of `cxr run`, after --")
    given = parser.parse_args()
    if given.run:
        print(table(given.run))
        return
    with tempfile.TemporaryDirectory(prefix="node_profile-") as folder:
        command = ["cxr", "run", "--profile", "--no-cache", "--workspace", folder, *given.arguments]
        logged = {"TF_CPP_VMODULE": "meta_optimizer=2", "TF_CPP_MIN_LOG_LEVEL": "0"}
        code = subprocess.call([f"{Path(sys.executable).parent}/{command[0]}", *command[1:]], env=os.environ | logged)
        (run,) = all_runs(Path(folder))
        print(table(run))
    sys.exit(code)


def table(run: Path) -> str:
    """Returns the table of a run's folder as Markdown; nodes of less than a second of processor time are one row."""
    nodes = json.loads((run / REPORT).read_text(encoding="utf-8"))["nodes"]
    profiles = json.loads((run / PROFILE).read_text(encoding="utf-8"))
    grappler = _grappler(run / LOG)
    rows = [[node, *_figures(nodes[node], profiles[node], grappler[node])] for node in profiles]
    large = sorted((row for row in rows if row[2] >= 1), key=lambda row: -row[2])
    small = [row for row in rows if row[2] < 1]
    if small:
        large.append([f"{len(small)} others", *_joined(small)])
    large.append(["together", *_joined(rows)])
    head = ["node", "clock, s", "processor, s", "peak, GB", *SUBJECTS, "Grappler, clock"]
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *([row[0], *(f"{figure:.1f}" for figure in row[1:])] for row in large)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _figures(node: dict, profile: dict[str, float], grappler: float) -> list[float]:
    return [node["seconds"], node["cpu_seconds"], node["peak_memory"] / 1e9, *(profile[subject] for subject in SUBJECTS), grappler]


def _joined(rows: list[list]) -> list[float]:
    """Sums, and the largest peak."""
    return [max(column) if number == 2 else sum(column) for number, column in enumerate(zip(*(row[1:] for row in rows), strict=True))]


def _grappler(log: Path) -> dict[str, float]:
    """Seconds on the clock of Grappler's passes, by node."""
    seconds: dict[str, float] = defaultdict(float)
    with log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if found := _GRAPPLER.match(line):
                seconds[found[1]] += float(found[2]) / 1000
    return seconds


if __name__ == "__main__":
    main()
