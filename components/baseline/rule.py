"""Which pushed version a candidate is compared with, and why.

It is the best pushed version, not the last one: each push may lose up to `gate.tolerance`, and with the last one as the measure many pushes
would add up to a decline. "Best" is decided where two versions were judged on the same images in the same run, and kept with the newer
one (PushRecord.floor). Where the best one is no fair measure, the champion, which was pushed last, is tried.

A version is fair where it answers for the same classes in the same order, learnt from the same kind of images (real or synthetic), and was
neither trained on nor chosen by an image that the gate judges on. Images are told by the hash of their pixels as a network gets them: of a
version that read them otherwise nobody can tell which it has seen. Where none is fair, the gate's absolute bounds decide alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import tensorflow as tf

from cxr.components.baseline import champion
from cxr.components.baseline.champion import Champion
from cxr.components.baseline.push_record import PushRecord, read_record
from cxr.core import features
from cxr.core.errors import CxrError
from cxr.core.places import RECORDS_SUFFIX, SAVED_MODEL
from cxr.data.example_columns import columns
from cxr.data.images.reader import MAX_SIDE, READING_RULES
from cxr.trainer.model_info import INFO, ModelInfo, read_info
from cxr.trainer.training_data import Keys, image_keys, load_training_images


@dataclass(frozen=True)
class JudgedOn:
    """What decides whether a comparison is fair: the classes, the images of the gate's split, and how they were read."""

    class_names: tuple[str, ...]
    images: Keys
    synthetic: bool  # at least one of them is made up
    max_side: int | None = MAX_SIDE  # pixels that longer images were scaled down to; None: none was
    other_files: tuple[str, ...] = ()  # records of the training and validation split of the same data

    @cached_property
    def in_other_splits(self) -> Keys:
        """Those of the images that stand in another split too: no version is the worse for having seen them, every candidate has."""
        others, _ = _read(self.other_files)
        return np.intersect1d(self.images, others, assume_unique=True)


@dataclass(frozen=True)
class Choice:
    """The answer for one model."""

    champion: Champion | None = None  # None: nothing has been pushed yet
    record: PushRecord | None = None  # of the champion
    info: ModelInfo | None = None  # of the champion
    baseline: Path | None = None  # folder of the version to compare with
    reasons: tuple[str, ...] = ()  # why the best or the last pushed version is not the baseline

    @property
    def previous(self) -> Path | None:
        """Folder of the version that the champion itself was compared with, where it is still there."""
        if self.champion is None or self.record is None or self.record.baseline is None:
            return None
        folder = self.champion.folder.parent / self.record.baseline.version
        return folder if (folder / SAVED_MODEL).is_file() else None


def read_judged_on(data: str, split: str, class_names: Sequence[str], max_side: int | None) -> JudgedOn:
    """Reads what the gate judges on; the other splits are read only where a version turns out to have seen an image of the gate's.

    Args:
      data: Folder that `cxr ingest` wrote, or a URI that TensorFlow can read (`gs://`).
      split: The gate's.
      class_names: In the order of the models' probabilities.
      max_side: Pixels that longer images were scaled down to; None: none was.

    Raises:
      CxrError: There are no records of the split, or a file cannot be read.
    """
    files = {name: _records(data, name) for name in features.SPLITS}
    judged = files.pop(split)
    if not judged:
        raise CxrError(f"data {data}: no records of the split {split!r}, which the gate judges on; did `cxr ingest` write there?")
    images, synthetic = _read(judged)
    return JudgedOn(tuple(class_names), images, synthetic, max_side, tuple(file for others in files.values() for file in others))


def choose(pointer: Path, judged_on: JudgedOn) -> Choice:
    """Chooses the version that a model's next candidate is compared with.

    Args:
      pointer: The model's champion.json.
      judged_on: Of the gate.

    Raises:
      CxrError: The pointer, or what it names, is damaged or gone.
    """
    found = champion.read(pointer)
    if found is None:
        return Choice()
    record = read_record(found.folder)
    info = read_info(str(found.folder)) if (found.folder / INFO).is_file() else None
    folders = [found.folder]
    reasons: list[str] = []
    if record and record.floor != found.version:
        folders.insert(0, found.folder.parent / record.floor)
    for folder in folders:
        unfair = why_unfair(folder, judged_on)
        if not unfair:
            return Choice(found, record, info, folder, tuple(reasons))
        reasons.append(f"version {folder.name} {unfair}")
    return Choice(found, record, info, None, tuple(reasons))


def why_unfair(version: Path, judged_on: JudgedOn) -> str:
    """Returns why a pushed version must not be the measure of a candidate, as the end of a sentence; empty where it may.

    Raises:
      CxrError: Its description is damaged.
    """
    if not (version / SAVED_MODEL).is_file():
        return "is gone"
    if not (version / INFO).is_file():
        return f"has no {INFO}: it was not trained by this pipeline"
    info = read_info(str(version))
    if info.class_names != judged_on.class_names:
        return f"is for the classes {', '.join(info.class_names)}, not {', '.join(judged_on.class_names)}"
    if info.preprocessing is None:
        return "does not state the numbers of its labels: it is from an older version of this project"
    if info.synthetic is None:
        return "does not say what it was trained on: it is from an older version of this project"
    if info.synthetic != judged_on.synthetic:
        kinds = {True: "synthetic", False: "real"}
        return f"was trained on {kinds[info.synthetic]} images, but these are {kinds[judged_on.synthetic]}"
    if (info.max_side or None, info.reading_rules) != (judged_on.max_side, READING_RULES):
        return (
            "was trained on images that were read in another way (data.max_side, or another release): which images it has seen is unknown"
        )
    seen = load_training_images(str(version), info.data)
    if seen is None:
        return "does not say which images it was trained on"
    shared = np.intersect1d(seen, judged_on.images, assume_unique=True)
    if len(shared):  # only now are the other splits read
        shared = np.setdiff1d(shared, judged_on.in_other_splits, assume_unique=True)
    return f"has seen {len(shared)} of the {len(judged_on.images)} images that the gate judges on" if len(shared) else ""


def _records(data: str, split: str) -> list[str]:
    folder = f"{data.rstrip('/')}/{split}"
    try:
        names = tf.io.gfile.listdir(folder) if tf.io.gfile.isdir(folder) else []
        return sorted(f"{folder}/{name}" for name in names if name.endswith(RECORDS_SUFFIX))
    except tf.errors.OpError as error:
        raise CxrError(f"data {data}: cannot be listed ({error.message})") from None


def _read(files: Sequence[str]) -> tuple[Keys, bool]:
    """Returns the keys of the images in records, and whether one of them is made up."""
    hashes: list[str] = []
    synthetic = False
    for content_hash, source in columns(files, {features.CONTENT_HASH: None, features.SOURCE: features.UNKNOWN}):
        hashes.extend(value.decode() for value in content_hash)
        synthetic |= bool(np.any(source == features.SYNTHETIC.encode()))
    return image_keys(hashes), synthetic
