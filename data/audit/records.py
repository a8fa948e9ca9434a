"""Reads records of examples for the audit; one picture in memory at a time."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cxr.core import features, progress
from cxr.core.errors import CxrError
from cxr.core.stored_rows import Rows, RowWriter
from cxr.data.audit.tables import MEASURED, Example, decode

_FACTS = (features.SOURCE, features.FORMAT, features.VIEW, features.SEX, features.AGE_BAND)
KEPT = 50  # patients of each class, see `some_patients`
OF_ONE_PATIENT = 10  # images at least, and as large a part of the limit as 1 / OF_ONE_PATIENT: see there
_AT_ONCE = 64  # encoded pictures in memory
_REMEDY = "make the records again with `cxr ingest`"
_THREADS = 4  # Pillow lets others work while it decodes


class Identity(NamedTuple):
    """Which image it is, of which class (index) and whose."""

    content_hash: str
    label: int
    patient: bytes


@dataclass(frozen=True)
class Pictures:
    """Some pictures of one split."""

    labels: npt.NDArray[np.int64]  # [images]
    patients: npt.NDArray[np.object_]  # [images] pseudonyms, bytes
    encoded: Sequence[bytes]  # PNG or JPEG


@dataclass(frozen=True)
class Tables:
    """What the audit knows of the images of a data set.

    Attributes:
      labels: int64 [images], index of the class.
      patients: [images] pseudonyms, bytes.
      splits: [images] names.
      tables: By shortcut that has a row of its own, [images, columns]: float32 numbers (on disk, where they come from records), or words.
    """

    labels: npt.NDArray[np.int64]
    patients: npt.NDArray[np.object_]
    splits: npt.NDArray[np.str_]
    tables: Mapping[str, Rows]

    def __len__(self) -> int:
        return len(self.labels)


def read_tables(patterns: Mapping[str, Sequence[str]], class_names: Sequence[str]) -> Tables:
    """Reads all images, ordered by split and content hash, so that the order of files plays no part.

    Args:
      patterns: Split to file patterns of TFRecords (.gz: compressed), of any filesystem that TensorFlow knows.
      class_names: The classes.

    Raises:
      CxrError: A split without records, a damaged file, a picture that cannot be decoded, an unknown label.
    """
    identities: list[Identity] = []
    splits: list[str] = []
    words: dict[str, list[Any]] = {shortcut.name: [] for shortcut in MEASURED.values() if shortcut.words}
    numbers = {shortcut.name: RowWriter(np.float32) for shortcut in MEASURED.values() if not shortcut.words}
    for split, given in patterns.items():
        examples = _examples(given)
        with ThreadPoolExecutor(_THREADS) as pool:
            while part := list(islice(examples, _AT_ONCE)):
                for (file, example), rows in zip(part, pool.map(_rows, part), strict=True):
                    identities.append(_identity(file, example, class_names))
                    splits.append(split)
                    for name, row in rows.items():
                        (words if name in words else numbers)[name].append(row)
                progress.report(f"reading {split}", len(splits))
    rank = {split: number for number, split in enumerate(patterns)}
    order = np.array(sorted(range(len(splits)), key=lambda i: (rank[splits[i]], identities[i].content_hash)), np.int64)
    return Tables(
        np.array([identity.label for identity in identities], np.int64)[order],
        np.array([identity.patient for identity in identities], object)[order],
        np.array(splits, np.str_)[order],
        {
            shortcut.name: (np.array(words[shortcut.name], object) if shortcut.words else numbers[shortcut.name].rows())[order]
            for shortcut in MEASURED.values()
        },
    )


def read_pictures(patterns: Sequence[str], class_names: Sequence[str], limit: int, seed: int) -> Pictures:
    """Reads the encoded pictures of one split, ordered by content hash; of more than `limit`, those of patients that are drawn.

    Args:
      patterns: File patterns of TFRecords.
      class_names: The classes.
      limit: Images.
      seed: Of the draw.

    Raises:
      CxrError: As of `read_tables`.
    """
    identities = sorted((_identity(file, example, class_names) for file, example in _examples(patterns)), key=lambda i: i.content_hash)
    patients = np.array([identity.patient for identity in identities], object)
    kept = some_patients(np.arange(len(identities)), patients, limit, np.random.default_rng(seed))
    wanted = [identities[position].content_hash for position in kept]
    encoded = dict.fromkeys(wanted, b"")  # several images may have the same pixels
    for file, example in _examples(patterns):
        if (content_hash := _text(file, example, features.CONTENT_HASH)) in encoded:
            encoded[content_hash] = _image(file, example)
    labels = np.array([identities[position].label for position in kept], np.int64)
    return Pictures(labels, patients[kept], [encoded[content_hash] for content_hash in wanted])


def some_patients(
    positions: npt.NDArray[np.int64],
    patients: npt.NDArray[np.object_],
    limit: int,
    rng: np.random.Generator,
    labels: npt.NDArray[np.int64] | None = None,
) -> npt.NDArray[np.int64]:
    """Returns the positions of drawn patients, each with all images, `limit` at most; all where they fit.

    Of a patient with more than OF_ONE_PATIENT images, and more than the limit's OF_ONE_PATIENT-th part, so many are drawn: all of them
    would fill the sample, or, not fitting, end it after one image. So at least nine tenths of a limit of 100 or more are filled.

    Given `labels`, by position, KEPT of each class come first: else a rare class could lose its patients, and every shortcut its folds.

    Args:
      positions: int64 [some], into `patients`, ascending.
      patients: [images] pseudonyms, bytes.
      limit: Images, at least 1.
      rng: Of the draws.
      labels: int64 [images], index of the class.
    """
    if len(positions) <= limit:
        return positions
    names, owner = np.unique(patients[positions], return_inverse=True)
    drawn = rng.permutation(len(names))
    if labels is not None:
        rank = np.full(len(names), KEPT)
        for label in np.unique(labels[positions]):
            own = drawn[np.isin(drawn, owner[labels[positions] == label])]
            rank[own] = np.minimum(rank[own], np.arange(len(own)))
        drawn = drawn[np.argsort(rank[drawn], kind="stable")]
    most = min(limit, max(OF_ONE_PATIENT, limit // OF_ONE_PATIENT))
    sizes = np.bincount(owner)
    count = int(np.searchsorted(np.cumsum(np.minimum(sizes, most)[drawn]), limit, side="right"))
    chosen = np.isin(owner, drawn[:count])
    for large in drawn[:count][sizes[drawn[:count]] > most]:
        chosen[rng.permutation(np.flatnonzero(owner == large))[most:]] = False
    return positions[chosen]


def _examples(patterns: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Yields the file and the tf.train.Example of each record."""
    from cxr.data.example_columns import examples, files_of  # TensorFlow: seconds, and only this needs it

    files = files_of(patterns)
    if not files:
        raise CxrError(f"{', '.join(patterns)}: no records; make them with `cxr ingest`")
    yield from examples(files)


def _identity(file: str, example: Any, class_names: Sequence[str]) -> Identity:
    label = _text(file, example, features.LABEL)
    if label not in class_names:
        raise CxrError(f"{file}: label {label!r} is none of {', '.join(class_names)}; set data.class_names")
    content_hash, patient = (_text(file, example, name) for name in (features.CONTENT_HASH, features.PATIENT_ID))
    return Identity(content_hash, list(class_names).index(label), patient.encode())


def _rows(found: tuple[str, Any]) -> dict[str, Any]:
    file, example = found
    height, width = (example.features.feature[name].int64_list.value for name in (features.HEIGHT, features.WIDTH))
    if not (height and width and height[0] > 0 and width[0] > 0):
        raise CxrError(f"{file}: an example without height or width; {_REMEDY}")
    facts = {name: sys.intern(_text(file, example, name)) for name in _FACTS}  # few values that all images share
    seen = Example(facts, height[0], width[0], decode(_image(file, example)))
    return {shortcut.name: shortcut.row(seen) for shortcut in MEASURED.values()}


def _text(file: str, example: Any, name: str) -> str:
    """A categorical feature; UNKNOWN where the record lacks it."""
    values = example.features.feature[name].bytes_list.value
    try:
        return str(values[0].decode()) if values else features.UNKNOWN
    except UnicodeDecodeError:
        raise CxrError(f"{file}: an example whose {name} is no text; {_REMEDY}") from None


def _image(file: str, example: Any) -> bytes:
    """The encoded picture."""
    values = example.features.feature[features.IMAGE].bytes_list.value
    if not values:
        raise CxrError(f"{file}: an example without image; {_REMEDY}")
    return bytes(values[0])
