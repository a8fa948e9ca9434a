"""From rows and the pictures that were read to TFRecord shards, in gzip's format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from cxr.core import features
from cxr.core.places import RECORDS_SUFFIX
from cxr.data.ingest.ingest_config import Ingest
from cxr.data.ingest.lesion_masks import Masks
from cxr.data.ingest.rows import Row, uniform
from cxr.data.ingest.staged import Keys, Picture, Staged


class Shard(NamedTuple):
    """One file of records."""

    split: str
    number: int
    total: int

    @property
    def file_name(self) -> str:
        """Path of the records below the output."""
        return f"{self.split}/examples-{self.number:05d}-of-{self.total:05d}{RECORDS_SUFFIX}"


def plan(rows: Sequence[Row], config: Ingest) -> Iterator[tuple[Shard, Row]]:
    """Deals rows to shards of equal size, in an order that only seed and name decide: shuffled, and the same every time."""
    totals = Counter(row.split for row in rows)
    at: Counter[str] = Counter()
    for row in sorted(rows, key=lambda row: (uniform(config.seed, f"shard {row.name}"), row.name)):
        shards = -(-totals[row.split] // config.images_per_shard)
        yield Shard(row.split, at[row.split] % shards, shards), row
        at[row.split] += 1


def write_records(planned: Iterable[tuple[Shard, Row]], out: Path, staged: Staged, keys: Keys, masks: Masks, workers: int) -> None:
    """Writes all shards; holds one picture per thread at a time.

    Args:
      planned: Rows whose `patient` is a pseudonym already.
      out: Folder; `<split>/examples-…` are written below it.
      staged: The pictures; rows without a usable one are left out.
      keys: Of the rows' pictures, by number of a row.
      masks: Where the disease shows; rows with a wrong mask are left out.
      workers: Threads.
    """
    from tensorflow.io import TFRecordWriter  # the command line answers without TensorFlow

    shards: dict[Shard, list[Row]] = {}
    for shard, row in planned:
        shards.setdefault(shard, []).append(row)

    def write(shard: Shard) -> None:
        with TFRecordWriter(str(out / shard.file_name), record_options()) as writer:
            for row in sorted(shards[shard], key=lambda row: row.name):
                picture = staged.picture(keys[row.number])
                if picture and row.number not in masks.refused:
                    made = example(row, picture, masks.found.get(row.number))
                    writer.write(made.SerializeToString(deterministic=True))

    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(write, shards):
            pass


def record_options() -> Any:
    """Returns how shards are written, TFRecordOptions."""
    from tensorflow.io import TFRecordOptions

    # Level 0: stored. 3 % could be squeezed out of JPEG, less out of PNG, in more time than it takes to decode and encode them.
    return TFRecordOptions(compression_type="GZIP", compression_level=0)


def example(row: Row, picture: Picture, mask: bytes | None = None) -> Any:
    """Returns the tf.Example of one image; core/features.py says what each feature holds.

    Args:
      row: What the source says.
      picture: The image.
      mask: Where the disease shows in it, PNG; None: nowhere, or nobody knows.
    """
    from tensorflow.train import BytesList, Example, Feature, Features, FloatList, Int64List

    def text(value: str) -> Feature:
        return Feature(bytes_list=BytesList(value=[value.encode()]))

    def number(value: float) -> Feature:
        return Feature(float_list=FloatList(value=[value]))

    feature = {
        features.IMAGE: Feature(bytes_list=BytesList(value=[picture.encoded])),
        features.FORMAT: text(picture.format),
        features.HEIGHT: Feature(int64_list=Int64List(value=[picture.height])),
        features.WIDTH: Feature(int64_list=Int64List(value=[picture.width])),
        features.MEAN: number(picture.mean),
        features.STD: number(picture.std),
        features.LABEL: text(row.label),
        features.PATIENT_ID: text(row.patient),
        features.SOURCE: text(row.source),
        features.VIEW: text(row.view),
        features.SEX: text(row.sex),
        features.AGE_BAND: text(features.age_band(row.age)),
        features.CONTENT_HASH: text(picture.content_hash),
    }
    if row.age is not None:
        feature[features.AGE] = number(row.age)
    if mask:
        feature[features.LESION_MASK] = Feature(bytes_list=BytesList(value=[mask]))
    if row.license:
        feature[features.LICENSE] = text(row.license)
    return Example(features=Features(feature=feature))
