"""The Beam pipeline: from planned rows to gzip-compressed TFRecord shards. Holds one image per worker at a time, however many there are."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from cxr.core import features, fingerprints
from cxr.data.images import reader
from cxr.data.images.errors import ImageError
from cxr.data.images.masks import read_mask
from cxr.data.ingest.ingest_config import Ingest
from cxr.data.ingest.outcomes import DONE, RESULTS, STARTED, Outcome, line
from cxr.data.ingest.rows import Row, uniform


class Shard(NamedTuple):
    """One file of records."""

    split: str
    number: int
    total: int

    @property
    def file_name(self) -> str:
        """Path of the records below the output."""
        return f"{self.split}/examples-{self.number:05d}-of-{self.total:05d}.tfrecord.gz"

    @property
    def results_name(self) -> str:
        """Path of the outcomes below the output, without its suffix."""
        return f"{RESULTS}/{self.split}-{self.number:05d}"


def plan(rows: Sequence[Row], config: Ingest) -> Iterator[tuple[Shard, Row]]:
    """Deals rows to shards of equal size, in an order that only seed and name decide: shuffled, and the same every time."""
    totals = Counter(row.split for row in rows)
    at: Counter[str] = Counter()
    for row in sorted(rows, key=lambda row: (uniform(config.seed, f"shard {row.name}"), row.name)):
        shards = -(-totals[row.split] // config.images_per_shard)
        yield Shard(row.split, at[row.split] % shards, shards), row
        at[row.split] += 1


def write_records(planned: Iterable[tuple[Shard, Row]], out: str, config: Ingest, beam_options: Sequence[str] = ()) -> None:
    """Runs the pipeline and waits for it.

    Args:
      planned: Rows whose `patient` is a pseudonym already: no raw id ever reaches a worker.
      out: Folder; `<split>/examples-…` and `results/…` are written below it.
      config: Limits and workers.
      beam_options: Options of Beam; `--runner` among them takes the work to other machines, which must see the same files.
    """
    # Named in full: by the name DirectRunner Beam would first look for its Prism binary, on the network.
    runner = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
    local = [
        f"--runner={runner}",
        "--direct_running_mode=multi_threading",
        f"--direct_num_workers={config.workers}",
        "--sdk_container_image=none",
    ]
    shards: dict[Shard, list[Row]] = {}
    for shard, row in planned:
        shards.setdefault(shard, []).append(row)
    with beam.Pipeline(options=PipelineOptions([*local, *beam_options])) as pipeline:
        _ = (
            pipeline
            # Grouped here, not by Beam: the local runner holds what it groups several times over, 14 KB for a row of one.
            | "Shards" >> beam.Create(shards.items())
            | "ToAllWorkers" >> beam.Reshuffle()
            | "WriteShard" >> beam.ParDo(WriteShard(out, config.max_pixels, config.max_side))
        )


class WriteShard(beam.DoFn):
    """Reads the images of one shard, one at a time, and writes their records. A second attempt at a shard overwrites the first."""

    def __init__(self, out: str, max_pixels: int, max_side: int | None):
        self._out, self._max_pixels, self._max_side = out, max_pixels, max_side

    def process(self, element: tuple[Shard, list[Row]]) -> None:
        """Writes one shard and its results."""
        from tensorflow.io import TFRecordOptions, TFRecordWriter  # in the worker: the command line answers without TensorFlow
        from tensorflow.io.gfile import rename

        shard, rows = element
        final, results = (FileSystems.join(self._out, name) for name in (shard.file_name, shard.results_name))
        attempt = f"{results}.{uuid.uuid4().hex}"
        # Level 1: what is left to squeeze out of JPEG and PNG is the same few percent at every level.
        with (
            TFRecordWriter(f"{attempt}.records", TFRecordOptions(compression_type="GZIP", compression_level=1)) as writer,
            FileSystems.create(attempt + STARTED, compression_type="uncompressed") as outcomes,
        ):
            for row in sorted(rows, key=lambda row: row.name):
                outcome, record = self._record(row)
                if record:
                    writer.write(record)
                outcomes.write(line(outcome))
                outcomes.flush()  # the progress bar reads along
        rename(f"{attempt}.records", final, overwrite=True)
        rename(attempt + STARTED, results + DONE, overwrite=True)

    def _record(self, row: Row) -> tuple[Outcome, bytes | None]:
        outcome = Outcome(row.number, row.label, row.patient)
        try:
            outcome.file_hash = fingerprints.of_file(row.path)
            image = reader.read_image(row.path, max_pixels=self._max_pixels, max_side=self._max_side)
            mask = read_mask(row.mask, image) if row.mask else None
        except ImageError as error:
            outcome.reason, outcome.detail = error.reason, str(error).removeprefix(f"{row.path}: ").removeprefix(f"{row.mask}: ")
            return outcome, None
        except OSError as error:
            outcome.reason, outcome.detail = "cannot be opened", error.strerror or str(error)
            return outcome, None
        outcome.content_hash = image.content_hash
        return outcome, example(row, image, mask).SerializeToString(deterministic=True)


def example(row: Row, image: reader.GreyImage, mask: bytes | None = None) -> Any:
    """Returns the tf.Example of one image; core/features.py says what each feature holds."""
    from tensorflow.train import BytesList, Example, Feature, Features, FloatList, Int64List

    def text(value: str) -> Feature:
        return Feature(bytes_list=BytesList(value=[value.encode()]))

    def number(value: float) -> Feature:
        return Feature(float_list=FloatList(value=[value]))

    height, width = image.array.shape
    feature = {
        features.IMAGE: Feature(bytes_list=BytesList(value=[reader.encode(image)])),
        features.FORMAT: text(image.format),
        features.HEIGHT: Feature(int64_list=Int64List(value=[height])),
        features.WIDTH: Feature(int64_list=Int64List(value=[width])),
        features.MEAN: number(float(np.mean(image.array))),
        features.STD: number(float(np.std(image.array))),
        features.LABEL: text(row.label),
        features.PATIENT_ID: text(row.patient),
        features.SOURCE: text(row.source),
        features.VIEW: text(row.view),
        features.SEX: text(row.sex),
        features.AGE_BAND: text(features.age_band(row.age)),
        features.CONTENT_HASH: text(image.content_hash),
    }
    if row.age is not None:
        feature[features.AGE] = number(row.age)
    if mask:
        feature[features.LESION_MASK] = Feature(bytes_list=BytesList(value=[mask]))
    if row.license:
        feature[features.LICENSE] = text(row.license)
    return Example(features=Features(feature=feature))
