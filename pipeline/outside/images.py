"""Images of another place: what is kept of one, and how rows of a source are read into such, as `cxr ingest` reads them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cxr.core import features
from cxr.core.counts import how_many
from cxr.core.errors import CxrError
from cxr.core.machine import cores
from cxr.core.machine_faults import check_file_at_fault
from cxr.data.images import reader
from cxr.data.images.errors import ImageError
from cxr.data.ingest import private_lists
from cxr.data.ingest.ingest_config import Ingest
from cxr.data.ingest.pseudonyms import KEY_FILE_VARIABLE, key_id, key_path, load_key, pseudonym
from cxr.data.ingest.records import example
from cxr.data.ingest.rows import Row
from cxr.data.ingest.staged import Picture

if TYPE_CHECKING:
    import tensorflow as tf

_READ_AT_ONCE = 64  # files
Given = tuple[Row, str | bytes, bool | None]  # see `read_rows`
Facts = Mapping[str, Any]  # raw feature (core/features.py) but IMAGE: str, int or float; absent where not stated


class _Why(NamedTuple):
    """Why a file cannot be used: the reason's short name, and what was said of the file."""

    reason: str
    detail: str


class _Reject(NamedTuple):
    """A row of the list of files that cannot be used (private_lists.REJECT_COLUMNS)."""

    where: str
    path: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Private:
    """What belongs to the user alone.

    Attributes:
      key_file: Key of the pseudonyms, by which patients of records are recognised; without one it is made of the set and forgotten.
      lists: Files that cannot be used are listed in the private folder that belongs to this path (private_lists.py); None: nowhere.
    """

    key_file: Path | None = None
    lists: Path | None = None


NOTHING_PRIVATE = Private()


def private_of(workspace: Path, command: str) -> Private:
    """Returns what belongs to the user alone: the key of a workspace, and lists in its folder `COMMAND.private`.

    Args:
      workspace: Its root; made where a list is written.
      command: That reads the images.
    """
    return Private(key_path(workspace), workspace.absolute() / command)


@dataclass(frozen=True, slots=True)
class Labelled:
    """One image with all that its record says; LABEL is absent where nobody states it.

    Attributes:
      image: Encoded.
      facts: What is known of it.
      outside: Whether a model found it unlike anything that it was trained on; None: none was asked, or it does not say.
    """

    image: bytes
    facts: Facts
    outside: bool | None = None

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
      reject_list: Where all of these are listed with their paths, once all are read; None: there is none, or it could not be written.
      unwritten: Why it could not be written; empty: it was, or there was nothing to list.
      max_side: Pixels that longer ones are scaled down to; None: none is.
      unstated: Features that data of this kind cannot state.
      patients_stated: Whether the data say of any image whose it is; else each counts as a patient of its own.
      key_id: Tells the key of the patients' pseudonyms from others; empty: not known, or no patient is; None: it is one of this set alone.
    """

    total: int
    images: Iterator[Labelled]
    max_side: int | None
    notes: tuple[str, ...] = ()
    rejects: Counter[str] = field(default_factory=Counter)
    reject_list: Path | None = None
    unwritten: str = ""
    unstated: frozenset[str] = frozenset()
    patients_stated: bool = True
    key_id: str | None = ""

    def patients_differ(self, training: str) -> str:
        """Returns why patients of training data, whose key has this id, cannot be recognised; empty where they can, or nobody knows."""
        if self.key_id == "" or (self.key_id and training in ("", self.key_id)):
            return ""
        return (
            "patients could not be compared: the key of the training data's pseudonyms is not the one that was used here; "
            f"{KEY_FILE_VARIABLE} names its file"
        )


def scaling(max_side: int | None) -> str:
    """Returns what was done to longer images, as the end of a sentence.

    Args:
      max_side: Pixels that they were scaled down to; None: none was.
    """
    return f"scaled down to {max_side} pixels" if max_side else "not scaled down"


def labelled(example: tf.train.Example, where: str) -> Labelled:
    """Unpacks a raw example.

    Args:
      example: As `cxr ingest` writes it.
      where: Its file, for messages.

    Raises:
      CxrError: It lacks image, label, patient or content hash, or holds text that is none.
    """
    facts: dict[str, Any] = {}
    image = b""
    for name, feature in example.features.feature.items():
        if name == features.LESION_MASK:  # a picture, which nothing here asks about
            continue
        kind = feature.WhichOneof("kind")
        values: Sequence[Any] = getattr(feature, kind).value if kind else ()
        if name == features.IMAGE:
            image = values[0] if len(values) and kind == "bytes_list" else b""
        elif len(values):
            try:
                facts[name] = values[0].decode() if kind == "bytes_list" else values[0]
            except UnicodeDecodeError:
                raise CxrError(f"{where}: a record whose {name!r} is no text; ingest again with --overwrite") from None
    needed = (features.LABEL, features.PATIENT_ID, features.CONTENT_HASH)
    lacking = [name for name in needed if not isinstance(facts.get(name), str)] + ([] if image else [features.IMAGE])
    if lacking:
        raise CxrError(f"{where}: a record has no {lacking[0]!r}; ingest again with --overwrite")
    return Labelled(image, facts)


def read_rows(
    found: Iterable[Given],
    total: int,
    config: Ingest,
    notes: Sequence[str],
    unstated: frozenset[str],
    units: Iterable[str],
    private: Private = NOTHING_PRIVATE,
) -> LabelledImages:
    """Reads images as `cxr ingest` reads them.

    Args:
      found: Row, path or bytes of its image, and whether a model found that unlike its training images, if one said.
      total: How many.
      config: How they are read.
      notes: What a user should know.
      unstated: Features that the rows cannot state.
      units: What identifies the set, in any order.
      private: What belongs to the user alone.
    """
    known = load_key(private.key_file) if private.key_file and private.key_file.is_file() else None
    # Not drawn: pseudonyms order the draws of patients, and the same images must have the same intervals each time.
    own = hashlib.sha256("\n".join(sorted(set(units))).encode()).digest()
    images = LabelledImages(total, iter(()), config.max_side, tuple(notes), unstated=unstated, key_id=key_id(known) if known else None)
    images.images = _read_rows(found, images, known or own, own, config, private.lists)
    return images


def _read_rows(
    given: Iterable[Given], images: LabelledImages, key: bytes, own: bytes, config: Ingest, lists: Path | None
) -> Iterator[Labelled]:
    bad: list[_Reject] = []
    remaining = iter(given)
    with ThreadPoolExecutor(cores()) as pool:
        while some := list(islice(remaining, _READ_AT_ONCE)):
            sources = [source for _, source, _ in some]
            for (row, _, outside), found in zip(some, pool.map(partial(_read, config=config), sources), strict=True):
                if isinstance(found, _Why):
                    images.rejects[found.reason] += 1
                    bad.append(_Reject(row.where, row.name, *found))
                else:
                    # An image that stands for a patient has its file's name: one so called in the training data may be anybody's.
                    row.patient, row.person = pseudonym(key if row.patient else own, row.unit), ""
                    made = labelled(example(row, Picture.of(found)), row.where)
                    facts = {name: value for name, value in made.facts.items() if name not in images.unstated}
                    yield Labelled(made.image, facts, outside)
    if lists is not None:
        try:
            images.reject_list = private_lists.write(lists, private_lists.REJECTS, private_lists.REJECT_COLUMNS, bad)
        except OSError as error:  # a workspace that is not ours to write: the figures are what was asked for
            images.unwritten = error.strerror or type(error).__name__ if bad else ""
    if len(bad) > config.max_reject_share * images.total:
        places = private_lists.shown([f"{one.where}: {one.reason}" for one in bad], images.reject_list)
        which = f"{len(bad)} of {how_many(images.total, 'file')}"
        raise CxrError(f"{which} cannot be used, more than {config.max_reject_share:.0%}; mend or remove them:{places}")


def _read(source: str | bytes, config: Ingest) -> reader.GreyImage | _Why:
    """Returns the picture, or why there is none."""
    try:
        return reader.read_image(source, max_pixels=config.max_pixels, max_side=config.max_side)
    except ImageError as error:
        text = str(error)
        return _Why(error.reason, text.removeprefix(f"{source}: ") if isinstance(source, str) else text)
    except OSError as error:
        check_file_at_fault(error)
        return _Why("cannot be opened", error.strerror or "")
