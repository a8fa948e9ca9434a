"""Labelled images of another place, one at a time: records that `cxr ingest` wrote, or images read as it reads them. Nothing is written."""

from __future__ import annotations

import os
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydantic

from cxr.core import features
from cxr.core.errors import CxrError, UsageError
from cxr.data.images import reader
from cxr.data.images.errors import ImageError
from cxr.data.ingest.dataset import DATASET, Dataset, read_dataset
from cxr.data.ingest.ingest_config import Ingest, Spelling, dotted
from cxr.data.ingest.private_lists import SHOWN
from cxr.data.ingest.pseudonyms import key_path, load_key, pseudonym
from cxr.data.ingest.records import example
from cxr.data.ingest.rows import Row
from cxr.data.ingest.sources import discover, is_uri

if TYPE_CHECKING:
    import tensorflow as tf

ALL = "all"  # in place of a split's name
DEFAULT_SPLIT = "test"  # of data with several
_READ_AT_ONCE = 64  # files
Facts = Mapping[str, Any]  # raw feature (core/features.py) but IMAGE: str, int or float; absent where not stated


@dataclass(frozen=True, slots=True)
class Labelled:
    """One image with all that its record says."""

    image: bytes
    facts: Facts

    @property
    def content_hash(self) -> str:
        """Of the pixels."""
        return str(self.facts[features.CONTENT_HASH])


@dataclass
class LabelledImages:
    """A set of labelled images that can be read once.

    Attributes:
      total: Images before any is read.
      images: What yields them; raises CxrError where too many cannot be used.
      notes: What a user should know, known before anything is read.
      rejects: Reason: files that could not be used; filled while they are read.
      max_side: Pixels that longer ones are scaled down to; None: none is.
    """

    total: int
    images: Iterator[Labelled]
    max_side: int | None
    notes: tuple[str, ...] = ()
    rejects: Counter[str] = field(default_factory=Counter)


def open_labelled(data: str, split: str | None, config: Ingest, spelled: Spelling = dotted) -> LabelledImages:
    """Opens labelled images; none is read yet.

    Args:
      data: A folder that `cxr ingest` wrote, a folder with one folder per class, or a manifest.
      split: Which one of data that have several; ALL; None: the only one, else DEFAULT_SPLIT.
      config: Class names, `max_side` and how a source is read. Records keep the `max_side` that they were made with.
      spelled: Names settings in messages.

    Raises:
      UsageError: No such data, or no such split in them.
      CxrError: The source is unusable; names file, line and remedy, and no image.
    """
    if is_uri(data) or not Path(data).exists():
        raise UsageError(
            f"--data {data}: no such file or folder here; give images (a folder per class, a manifest) or records of `cxr ingest`"
        )
    if (Path(data) / DATASET).is_file():
        return _records(Path(data), split, config.class_names)
    return _source(Path(data), split, config, spelled)


def reading_config(class_names: Sequence[str], max_side: int | None, **settings: Any) -> Ingest:
    """Returns how images are read for a model: as a set of one split, which may lack classes.

    Args:
      class_names: Of the model.
      max_side: Of the model.
      settings: Of `Ingest`; None where nobody set one.

    Raises:
      UsageError: A wrong value.
    """
    known = {name: value for name, value in settings.items() if value is not None}
    try:
        return Ingest(class_names=tuple(class_names), max_side=max_side, only_split="test", **known)
    except pydantic.ValidationError as error:
        raise UsageError("\n".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())) from None


# === Records ===


def _records(folder: Path, split: str | None, class_names: Sequence[str]) -> LabelledImages:
    dataset = read_dataset(folder)
    if strange := [name for name in dataset.class_names if name not in class_names and _images(dataset, dataset.splits, name)]:
        raise CxrError(f"{folder}: has images of the class {strange[0]!r}, and the model knows {', '.join(class_names)}")
    chosen, notes = _chosen(str(folder), split, dataset.splits)
    files = [folder / name for name in sorted(dataset.files) if name.partition("/")[0] in chosen]
    if missing := [file for file in files if not file.is_file()]:
        raise CxrError(f"{missing[0]}: is gone, and {DATASET} names it; ingest again with --overwrite")
    total = sum(_images(dataset, chosen, name) for name in dataset.class_names)
    return LabelledImages(total, _read_records(files), dataset.config.max_side, notes)


def _images(dataset: Dataset, splits: Sequence[str], class_name: str) -> int:
    return sum(dataset.counts[split].get(class_name, 0) for split in splits)


def _read_records(files: Sequence[Path]) -> Iterator[Labelled]:
    import tensorflow as tf

    for file in files:
        try:
            for serialized in tf.data.TFRecordDataset(str(file), "GZIP").prefetch(tf.data.AUTOTUNE).as_numpy_iterator():
                yield labelled(tf.train.Example.FromString(serialized), str(file))
        except tf.errors.DataLossError as error:
            raise CxrError(f"{file}: is damaged ({error.message}); ingest again with --overwrite") from None


def labelled(example: tf.train.Example, where: str) -> Labelled:
    """Unpacks a raw example.

    Args:
      example: As `cxr ingest` writes it.
      where: Its file, for messages.

    Raises:
      CxrError: It lacks image, label, patient or content hash.
    """
    facts: dict[str, Any] = {}
    image = b""
    for name, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        values: Sequence[Any] = getattr(feature, kind).value if kind else ()
        if name == features.IMAGE:
            image = values[0] if values else b""
        elif len(values):
            facts[name] = values[0].decode() if kind == "bytes_list" else values[0]
    needed = (features.LABEL, features.PATIENT_ID, features.CONTENT_HASH)
    lacking = [name for name in needed if name not in facts] + ([] if image else [features.IMAGE])
    if lacking:
        raise CxrError(f"{where}: a record has no {lacking[0]!r}; ingest again with --overwrite")
    return Labelled(image, facts)


# === Images ===


def _source(path: Path, split: str | None, config: Ingest, spelled: Spelling) -> LabelledImages:
    rows, notes = discover(path, config, spelled)
    stated = tuple(name for name in features.SPLITS if any(row.split == name for row in rows))
    if stated:
        chosen, more = _chosen(str(path), split, stated)
        rows = rows if split == ALL else [row for row in rows if row.split in chosen]
        notes = [*notes, *more]
    elif split not in (None, ALL):
        raise UsageError(f"--split {split}: {path} states no splits; leave the option out, and all images are taken")
    key = load_key(key_path()) if key_path().is_file() else secrets.token_bytes(32)  # with the key patients of records are recognised
    rejects: Counter[str] = Counter()
    return LabelledImages(len(rows), _read_rows(rows, key, config, rejects), config.max_side, tuple(notes), rejects)


def _read_rows(rows: Sequence[Row], key: bytes, config: Ingest, rejects: Counter[str]) -> Iterator[Labelled]:
    bad: list[str] = []
    remaining = iter(rows)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while some := list(islice(remaining, _READ_AT_ONCE)):
            for row, found in zip(some, pool.map(partial(_read, config=config), some), strict=True):
                if isinstance(found, str):
                    rejects[found] += 1
                    bad.append(f"{row.where}: {found}")
                else:
                    row.patient, row.person = pseudonym(key, row.unit), ""
                    yield labelled(example(row, found), row.where)
    if bad and len(bad) > config.max_reject_share * len(rows):
        shown = "".join(f"\n  {place}" for place in bad[:SHOWN]) + (f"\n  and {len(bad) - SHOWN} more" if len(bad) > SHOWN else "")
        raise CxrError(
            f"{len(bad)} of {len(rows)} files cannot be used, more than {config.max_reject_share:.0%}; mend or remove them:{shown}"
        )


def _read(row: Row, config: Ingest) -> reader.GreyImage | str:
    """Returns the picture, or why there is none."""
    try:
        return reader.read_image(row.path, max_pixels=config.max_pixels, max_side=config.max_side)
    except ImageError as error:
        return error.reason
    except OSError:
        return "cannot be opened"


def _chosen(data: str, split: str | None, stated: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the splits that are taken, and a note where nobody asked for them."""
    if split == ALL or (split is None and len(stated) == 1):
        return stated, ()
    wanted = split or DEFAULT_SPLIT
    if wanted not in stated:
        raise UsageError(f"--split {wanted}: {data} has {', '.join(stated)}; name one of them, or {ALL}")
    if split:
        return (wanted,), ()
    return (wanted,), (f"of the splits {', '.join(stated)} only {wanted!r} is taken; --split names another, or {ALL}",)
