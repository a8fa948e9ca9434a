"""At which size worker processes pay: ingest's reading, and the statistics of StatisticsGen, by one process and by several.

    python benchmarks/beam_workers.py                     1,000 and 20,000 small images: a quarter of an hour on 2 busy cores

CPU seconds, of all processes together, stand beside those by the clock: on a machine that others use too only they say much. The pictures
are 200 of 128×128 pixels, under as many names as there are to be images. Starting Python, and the fork server of a run, counts.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from bench.links import linked
from PIL import Image

READING = """
import sys
from pathlib import Path
from cxr.core.beam_options import reading
from cxr.data.ingest.ingest_config import Ingest
from cxr.data.ingest.reading import read_files
files = {str(number): str(path) for number, path in enumerate(sorted(Path(sys.argv[1]).rglob("*.jpg")))}
workers = int(sys.argv[3])
Path(sys.argv[2]).mkdir()
read_files(files.items(), Path(sys.argv[2]), Ingest(), reading(workers))
"""
STATISTICS = """
import sys
import apache_beam as beam
import tensorflow_data_validation as tfdv
from apache_beam.options.pipeline_options import PipelineOptions
from tfx_bsl.public import tfxio
from cxr.core.beam_options import local
from cxr.core.features import CLASS_NAMES
from cxr.pipeline.node_process import start_fork_server
from cxr.pipeline.schema import curated_schema
start_fork_server()
schema = curated_schema(CLASS_NAMES)
source = tfxio.TFExampleRecord([sys.argv[1]], schema=schema)
with beam.Pipeline(options=PipelineOptions([*local(int(sys.argv[3]))])) as pipeline:
    found = pipeline | source.BeamSource() | tfdv.GenerateStatistics(tfdv.StatsOptions(schema=schema))
    _ = found | tfdv.WriteStatisticsToTFRecord(sys.argv[2])
"""
RECORDS = """
import sys
from pathlib import Path
from cxr.data.images import reader
from cxr.data.ingest.records import example
from cxr.data.ingest.rows import Row
from cxr.data.ingest.staged import Picture
from tensorflow.io import TFRecordOptions, TFRecordWriter
files = sorted(Path(sys.argv[1]).rglob("*.jpg"))[:200]
made = [example(Row(str(f.parent), f.name, "", 0, f.parent.name), Picture.of(reader.read_image(f))).SerializeToString() for f in files]
count, shards = int(sys.argv[3]), 8
Path(sys.argv[2]).mkdir()
for shard in range(shards):
    with TFRecordWriter(f"{sys.argv[2]}/{shard}.tfrecord.gz", TFRecordOptions(compression_type="GZIP", compression_level=1)) as writer:
        for number in range(shard, count, shards):
            writer.write(made[number % len(made)])
"""
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER: workers whose parent has ended come to us, so that their CPU time is counted


def measured(code: str, *arguments: object) -> tuple[float, float]:
    """Returns seconds by the clock, and CPU seconds of the process and of all that it started."""
    before, started = _cpu(), time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stderr=subprocess.PIPE, text=True)
    _, errors = process.communicate()
    if process.returncode:
        raise SystemExit(errors)
    seconds = time.perf_counter() - started
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return seconds, _cpu() - before


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=(1_000, 20_000), help="images")
    parser.add_argument("--workers", type=int, nargs="+", default=(1, 2, 3), help="processes; 1 of reading: as many threads as by default")
    options = parser.parse_args()
    ctypes.CDLL(None).prctl(_SUBREAPER, 1)
    with tempfile.TemporaryDirectory() as folder:
        root, rng = Path(folder), np.random.default_rng(1)
        (root / "pictures").mkdir()
        for number in range(200):
            pixels = Image.fromarray(rng.integers(0, 256, (16, 16), np.uint8)).resize((128, 128), Image.Resampling.BICUBIC)
            pixels.save(root / "pictures" / f"{number}.jpg")
        pictures = sorted((root / "pictures").iterdir())
        print(f"{'':12}{'images':>8}{'processes':>11}{'seconds':>9}{'CPU s':>8}", flush=True)
        for count in options.counts:
            tree = linked(pictures, count, root / f"tree{count}")
            measured(RECORDS, tree, root / f"records{count}", count)
            for name, code, source in (("reading", READING, tree), ("statistics", STATISTICS, f"{root}/records{count}/*")):
                for workers in options.workers:
                    seconds, cpu = measured(code, source, root / f"{name}-{count}-{workers}", workers)
                    print(f"{name:12}{count:8,}{workers:11}{seconds:9.1f}{cpu:8.1f}", flush=True)


if __name__ == "__main__":
    main()
