"""The Beam pipeline that reads a source's files, once each. Holds one image per worker at a time, however many there are."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from cxr.core import beam_options
from cxr.data.beam_errors import told_once
from cxr.data.ingest.ingest_config import Ingest
from cxr.data.ingest.staged import StageWriter

FILES_PER_JOB = 4096  # the list of a job is held several times by the local runner, 3 KB for a file; a job begins in half a second


def read_files(files: Iterable[tuple[str, str]], folder: Path, config: Ingest, options: Sequence[str] = ()) -> None:
    """Runs the pipeline and waits for it; on this machine as several jobs, one after the other, where the files are many.

    Args:
      files: Key and path: all that a worker gets to know of an image.
      folder: Where the pictures are kept (staged.py).
      config: Limits and workers.
      options: Options of Beam; `--runner` among them takes the work to other machines, which must see the same files.
    """
    local = [*beam_options.local(1), "--direct_running_mode=multi_threading", f"--direct_num_workers={config.workers}"]
    chosen = PipelineOptions([*local, *options])
    in_this_process = chosen.view_as(StandardOptions).runner == PipelineOptions(local).view_as(StandardOptions).runner
    # An engine of several machines gets all files at once, to share them out.
    per_job, remaining = FILES_PER_JOB if in_this_process else None, iter(files)
    while job := list(islice(remaining, per_job)):
        # Grouped here, not by Beam: the local runner holds what it groups several times over, 14 KB for a file of one.
        size = _group_size(len(job), config)
        groups = [job[start : start + size] for start in range(0, len(job), size)]
        with told_once(), beam.Pipeline(options=chosen) as pipeline:
            # Create deals the groups to all workers by a Reshuffle of its own.
            _ = (
                pipeline
                | "Groups" >> beam.Create(groups)
                | "Read" >> beam.ParDo(ReadFiles(str(folder), config.max_pixels, config.max_side))
            )
        if len(job) == FILES_PER_JOB:  # its objects refer to each other; a third of a second, for fewer files they may wait
            gc.collect()


def _group_size(files: int, config: Ingest) -> int:
    """Returns how many files a group has: as many groups for each worker, so that none waits for the last one's."""
    turns = -(-files // (config.workers * config.images_per_shard))
    return -(-files // (config.workers * turns))


class ReadFiles(beam.DoFn):
    """Reads the files of one group, one at a time. A second attempt reads them again, beside the first."""

    def __init__(self, folder: str, max_pixels: int, max_side: int | None):
        self._folder, self._max_pixels, self._max_side = folder, max_pixels, max_side

    def process(self, element: list[tuple[str, str]]) -> None:
        """Reads one group."""
        with StageWriter(Path(self._folder)) as writer:
            for key, path in element:
                writer.read(key, path, self._max_pixels, self._max_side)
