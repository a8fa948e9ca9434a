"""What the imports of a server and of a node take, with and without Python looking for garbage meanwhile (core/imports.py).

    python benchmarks/import_time.py                      # 3 minutes on 2 cores

Processor seconds, medians of processes in turns.
"""

import argparse
import os
import subprocess
import sys
from statistics import median

IMPORTS = {
    "server": "from cxr.serving.server.main import leave_keras_out; leave_keras_out(); import cxr.serving.server.app",
    "node": "import cxr.pipeline.node_launch, cxr.trainer.run_fn, tfx.components.evaluator.executor",
}
WAYS = {"collecting": "", "without": "import gc; gc.disable(); "}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    for what, statement in IMPORTS.items():
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(given.rounds):
            for way, before in WAYS.items():
                seconds[way].append(_processor_seconds(before + statement))
        print(what, ", ".join(f"{way}: {median(found):.1f} ({min(found):.1f} to {max(found):.1f})" for way, found in seconds.items()))


def _processor_seconds(code: str) -> float:
    before = os.times()
    subprocess.run([sys.executable, "-c", code], check=True, stderr=subprocess.DEVNULL)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


if __name__ == "__main__":
    main()
