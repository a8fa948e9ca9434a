"""What an image costs, in processor time and memory, as their number grows: from ingest to push, node by node.

    python benchmarks/growth.py                                1,000, 10,000 and 100,000 pictures: 20 minutes on 2 cores
    python benchmarks/growth.py --counts 1000 10000 --out growth.json

The pictures are small (64x64) random fields, brighter for one class than for the next, no two alike; one patient each. The pipeline has
every kind of node, with two MobileNets at 32x32 and their ensemble: what grows with the network is known (`make bench`), here it is
what grows with the images. The audit's forests learn from 1,000 at every count (`audit.max_images`; with its default, 20,000, they take
about a quarter of an hour of a core).
Peak memory is that of the largest process of a node (`cxr run` keeps it), of ingest that of its process tree.
Target: a peak within 15 % of that for 1,000 images, at every node.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import peak_memory
import yaml
from PIL import Image

from cxr.core import exit_codes, features

SIDE, KNOTS = 64, 12  # pixels; random numbers along a side
MODEL = {"backbone": "MobileNet", "head": {"pooling": "global"}, "head_training": {"epochs": 3, "batch_size": 64}}
CONFIG = {
    "name": "growth",
    "image_size": 32,
    "defaults": {"weights": "none"},
    "models": {"first": {**MODEL, "seed": 1}, "second": {**MODEL, "seed": 2}},
    "ensemble": {"method": "soft"},
    "gate": {"min_accuracy": 0.0, "above_chance": False, "shortcut_margin": None},
    "audit": {"max_images": 1000},
}


def make_pictures(count: int, folder: Path) -> Path:
    """Writes JPEGs, a folder per class."""
    rng = np.random.default_rng(count)
    for number in range(count):
        kind = number % len(features.CLASS_NAMES)
        file = folder / features.CLASS_NAMES[kind] / f"{number:06d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        grey = Image.fromarray((rng.integers(0, 160, (KNOTS, KNOTS)) + 40 * kind).astype(np.uint8))
        grey.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(file, quality=80)
    return folder


class Cost(NamedTuple):
    """Of a node, or of a command with its process tree."""

    seconds: float
    cpu_seconds: float
    peak: int  # bytes


def called(arguments: list[str], log: Path) -> Cost:
    """Runs cxr."""
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with log.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen([str(Path(sys.executable).with_name("cxr")), *arguments], stdout=stream, stderr=subprocess.STDOUT)
        peak = peak_memory.wait(process)
    if process.returncode not in (exit_codes.OK, exit_codes.REFUSED):  # which cost the same
        sys.exit(f"cxr {' '.join(arguments)} failed with exit code {process.returncode}:\n{log.read_text(encoding='utf-8')[-3000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(time.monotonic() - started, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, int(peak))


def measured(count: int, root: Path) -> dict[str, Cost]:
    """Returns what each node costs, ingest first."""
    pictures, records, workspace, config = (root / name for name in ("pictures", "records", "workspace", "growth.yaml"))
    make_pictures(count, pictures)
    config.write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    found = {"ingest": called(["ingest", str(pictures), str(records)], root / "ingest.log")}
    arguments = ["run", "--config", str(config), "--data", str(records), "--workspace", str(workspace)]
    found["run, process tree"] = called(arguments, root / "run.log")
    (report,) = workspace.glob("*/runs/2*/report.json")
    nodes = json.loads(report.read_text(encoding="utf-8"))["nodes"]
    return found | {name: Cost(node["seconds"], node["cpu_seconds"] or 0, node["peak_memory"] or 0) for name, node in nodes.items()}


def main() -> None:
    """Prints a table, and keeps its figures where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    options = parser.parse_args()
    results: dict[int, dict[str, Cost]] = {}
    for count in options.counts:
        with tempfile.TemporaryDirectory() as folder:
            results[count] = measured(count, Path(folder))
        if options.out:
            options.out.write_text(
                json.dumps({n: {name: cost._asdict() for name, cost in found.items()} for n, found in results.items()}), encoding="utf-8"
            )
    first, last = options.counts[0], options.counts[-1]
    print("processor seconds and peak memory")
    print(f"{'':24}" + "".join(f"{f'{count:,}':>20}" for count in results) + f"{'ms per image':>14}{'memory':>8}")
    for name, few in results[first].items():
        many = results[last][name]
        row = "".join(f"{found[name].cpu_seconds:10.1f} s {found[name].peak / 1e6:5.0f} MB" for found in results.values())
        slope = 1000 * (many.cpu_seconds - few.cpu_seconds) / (last - first) if last > first else float("nan")
        print(f"{name:24}{row}{slope:14.2f}{many.peak / few.peak if few.peak else float('nan'):8.2f}")


if __name__ == "__main__":
    main()
