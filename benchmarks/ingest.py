"""Speed and memory of `cxr ingest`, side by side with a plain loop in one process.

    python benchmarks/ingest.py path/to/images            about 3 minutes on 2 cores

Speed: every image of the folder once; the loop reads, hashes, encodes and writes one TFRecord file, without Beam, splits or checks.
Memory: hard links (else copies) of the same images under 1,000 and 10,000 names; peak resident size of the whole process tree.
Classes are made up, so that true copies among the images become label conflicts: they are dropped. How long duplicates are looked for
among many different pictures is measured by duplicates.py.
Targets: 60 images a second on 2 cores, and the same peak for both.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import peak_memory

from cxr.core import features

BASELINE = """
import sys
from pathlib import Path
from cxr.data.ingest.records import example
from cxr.data.ingest.rows import Row
from cxr.data.ingest.staged import Picture
from cxr.data.images import reader
from tensorflow.io import TFRecordOptions, TFRecordWriter
with TFRecordWriter(sys.argv[2], TFRecordOptions(compression_type="GZIP", compression_level=1)) as writer:
    for path in sorted(Path(sys.argv[1]).rglob("*.jpg")):
        row = Row(str(path), path.name, str(path), path.parent.name)
        writer.write(example(row, Picture.of(reader.read_image(path))).SerializeToString())
"""
INGEST = """
import sys
from pathlib import Path
from rich.console import Console
from cxr.data.ingest.ingest_config import Ingest
from cxr.data.ingest.ingest import ingest
config = Ingest(workers=int(sys.argv[4]), label_conflicts="drop")
ingest(sys.argv[1], Path(sys.argv[2]), config, key_file=Path(sys.argv[3]), console=Console(quiet=True))
"""


def linked(images: list[Path], count: int, root: Path) -> Path:
    """Makes a tree of `count` images, dealt to the classes in turn; the names of one image all stand in one class."""
    for k in range(count):
        target = root / features.CLASS_NAMES[k % len(images) % len(features.CLASS_NAMES)] / f"{k:06d}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        source = images[k % len(images)]
        try:
            os.link(source, target)
        except OSError:  # another file system
            shutil.copyfile(source, target)
    return root


def measured(code: str, *arguments: str) -> tuple[float, float]:
    """Returns seconds, and the peak resident size of the process and its children in MB."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], stderr=subprocess.PIPE, text=True)
    errors: list[str] = []
    assert process.stderr is not None
    drain = threading.Thread(target=lambda stream: errors.append(stream.read()), args=(process.stderr,))
    drain.start()
    peak = peak_memory.wait(process)
    drain.join()
    if process.returncode:
        raise SystemExit(errors[0])
    return time.perf_counter() - started, peak / 1e6


def main() -> None:
    """Prints the seconds and the peak of memory of each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, help="folder of JPEG files")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--counts", type=int, nargs=2, default=(1_000, 10_000), help="images in the two memory runs")
    options = parser.parse_args()
    images = sorted(options.images.rglob("*.jpg"))
    if not images:
        raise SystemExit(f"{options.images}: no .jpg files")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        key = str(root / "key")
        tree = linked(images, len(images), root / "all")
        loop, loop_peak = measured(BASELINE, str(tree), str(root / "baseline.tfrecord.gz"))
        ours, ours_peak = measured(INGEST, str(tree), str(root / "out"), key, str(options.workers))
        print(f"{'':24}{'plain loop':>12}{'cxr ingest':>12}{'ratio':>8}   ({len(images)} images, start-up included)")
        print(f"{'images/s':24}{len(images) / loop:12.0f}{len(images) / ours:12.0f}{loop / ours:8.2f}")
        print(f"{'peak memory, MB':24}{loop_peak:12.0f}{ours_peak:12.0f}{ours_peak / loop_peak:8.2f}")
        results = []
        for count in options.counts:
            tree = linked(images, count, root / f"tree{count}")
            results.append(measured(INGEST, str(tree), str(root / f"out{count}"), key, str(options.workers)))
        (few_time, few_peak), (many_time, many_peak) = results
        few, many = options.counts
        print(f"\n{'cxr ingest':24}{few:>12,}{many:>12,}{'ratio':>8}")
        print(f"{'images/s':24}{few / few_time:12.0f}{many / many_time:12.0f}{few_time * many / many_time / few:8.2f}")
        print(f"{'peak memory, MB':24}{few_peak:12.0f}{many_peak:12.0f}{many_peak / few_peak:8.2f}")


if __name__ == "__main__":
    main()
