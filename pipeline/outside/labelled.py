"""Images of another place, one at a time: records that `cxr ingest` wrote, or images read as it reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pydantic

from cxr.core import features
from cxr.core.counts import how_many
from cxr.core.errors import CxrError, UsageError
from cxr.core.validation_errors import all_said
from cxr.data.ingest import patient_ids
from cxr.data.ingest.damage import check_sizes
from cxr.data.ingest.dataset import DATASET, Dataset, read_dataset
from cxr.data.ingest.ingest_config import Ingest, Spelling, dotted
from cxr.data.ingest.sources import MANIFEST, discover, is_uri, states_labels
from cxr.data.ingest.where import left_out
from cxr.pipeline.outside.images import NOTHING_PRIVATE, Labelled, LabelledImages, Private, labelled, read_rows

ALL = "all"  # in place of a split's name
DEFAULT_SPLIT = features.TEST  # of data with several
_OF_SOURCES = ("where", "listed_twice", "paths_outside")  # settings that only a folder of images or a manifest can obey


def open_labelled(
    data: str, split: str | None, config: Ingest, spelled: Spelling = dotted, private: Private = NOTHING_PRIVATE
) -> LabelledImages:
    """Opens labelled images; none is read yet.

    Args:
      data: A folder that `cxr ingest` wrote, a folder with one folder per class, or a manifest.
      split: Which one of data that have several; ALL; None: the only one, else DEFAULT_SPLIT.
      config: Class names, `max_side` and how a source is read. Records keep the `max_side` that they were made with.
      spelled: Names settings in messages.
      private: What belongs to the user alone. Records have their own pseudonyms and no unusable files.

    Raises:
      UsageError: No such data, no such split in them, or settings that records cannot obey.
      CxrError: The source is unusable; names file, line and remedy, and no image.
    """
    path = existing(data)
    if (path / DATASET).is_file():
        refuse_settings(data, "records", config, spelled)
        return _records(path, split, config.class_names, spelled)
    if is_log(path):
        raise UsageError(f"{data}: logs of requests have no labels, and figures need them; `cxr validate` looks at data without")
    if (path.is_file() or (path / MANIFEST).is_file()) and not states_labels(path, config.class_names):
        raise UsageError(
            f"{data}: no column 'label', and figures need labels; add one ({', '.join(config.class_names)}), or look at the data with "
            "`cxr validate`, which needs none"
        )
    return read_source(path, split, config, spelled, private)


def existing(data: str) -> Path:
    """Returns the path of data on this machine.

    Raises:
      UsageError: There is none.
    """
    if is_uri(data) or not Path(data).exists():
        raise UsageError(f"{data}: no such file or folder here; give images (a folder, a manifest) or records of `cxr ingest`")
    return Path(data)


def refuse_settings(data: str, what: str, config: Ingest, spelled: Spelling) -> None:
    """Refuses settings about the reading of a source where there is none to read: figures would be of other images than were asked for.

    Args:
      data: As the user named it.
      what: It is.
      config: Of its reading.
      spelled: Names settings in messages.

    Raises:
      UsageError: One is set.
    """
    plain = Ingest()
    if given := [spelled(name, "…") for name in _OF_SOURCES if getattr(config, name) != getattr(plain, name)]:
        raise UsageError(
            f"{data}: holds {what}, in which {' and '.join(given)} can choose nothing; leave that out, or give the images themselves "
            "(a folder, a manifest)"
        )


def is_log(path: Path) -> bool:
    """Tells whether a path is a log of requests, or a folder of such."""
    files = [path] if path.is_file() else path.glob(f"*{features.REQUEST_LOG_SUFFIX}")
    return any(file.name.endswith(features.REQUEST_LOG_SUFFIX) for file in files)


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
        return Ingest(class_names=tuple(class_names), max_side=max_side, only_split=features.TEST, **known)
    except pydantic.ValidationError as error:
        raise UsageError(all_said(error)) from None


# === Records ===


def _records(folder: Path, split: str | None, class_names: Sequence[str], spelled: Spelling) -> LabelledImages:
    dataset = read_dataset(folder)
    if strange := [name for name in dataset.class_names if name not in class_names and _images(dataset, dataset.splits, name)]:
        raise CxrError(
            f"{folder}: has images of the class {strange[0]!r}, and known are {', '.join(class_names)}; ingest the others alone, or set "
            f"{spelled('class_names', '[…]')}"
        )
    chosen, notes = _chosen(str(folder), split, dataset.splits)
    files = [folder / name for name in sorted(dataset.files) if name.partition("/")[0] in chosen]
    check_sizes(folder, dataset, chosen)
    total, of_all = (sum(_images(dataset, splits, name) for name in dataset.class_names) for splits in (chosen, dataset.splits))
    stated = dataset.own_patients < of_all
    if own := dataset.own_patients if stated else total:
        notes += (patient_ids.without_id(own, " of all splits" if stated and total < of_all else ""),)
    return LabelledImages(total, _read_records(files), dataset.config.max_side, notes, patients_stated=stated, key_id=dataset.key_id)


def _images(dataset: Dataset, splits: Sequence[str], class_name: str) -> int:
    return sum(dataset.counts[split].get(class_name, 0) for split in splits)


def _read_records(files: Sequence[Path]) -> Iterator[Labelled]:
    from cxr.data.example_columns import examples  # TensorFlow: seconds

    for file, example in examples(map(str, files)):
        yield labelled(example, file)


# === Images ===


def read_source(
    path: Path, split: str | None, config: Ingest, spelled: Spelling, private: Private, *, labels: bool = True
) -> LabelledImages:
    """Opens images of a folder or a manifest; see `open_labelled`.

    Args:
      path: The source.
      split: As there.
      config: As there.
      spelled: As there.
      private: As there.
      labels: False: it states none.
    """
    rows, notes, other_rows = discover(path, config, spelled, labels=labels)
    if other_rows:
        notes = [*notes, left_out(other_rows, config.where)]
    stated = tuple(name for name in features.SPLITS if any(row.split == name for row in rows))
    if stated:
        chosen, more = _chosen(str(path), split, stated)
        notes = [*notes, *more]
        if split != ALL:
            if without := sum(not row.split for row in rows):
                images = how_many(without, "image states no split and is", "images state no split and are")
                notes.append(f"{images} left out; --split {ALL} takes them too")
            rows = [row for row in rows if row.split in chosen]
    elif split not in (None, ALL):
        raise UsageError(f"--split {split}: {path} states no splits; leave the option out, and all images are taken")
    unstated = frozenset() if labels else frozenset({features.LABEL})
    units = [row.unit for row in rows]
    found = read_rows([(row, row.path, None) for row in rows], len(rows), config, notes, unstated, units, private)
    if own := sum(not row.patient for row in rows):
        found.notes += (patient_ids.without_id(own),)
    if own == len(rows):
        found.patients_stated, found.key_id = False, ""  # no patient could be recognised with any key
    return found


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
