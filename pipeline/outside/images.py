"""Images of another place: what is kept of one, and how rows of a source are read into such, as `cxr ingest` reads them."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxr.core import features
from cxr.core.errors import CxrError
from cxr.core.machine import cores
from cxr.data.images import reader
from cxr.data.images.errors import ImageError
from cxr.data.ingest.ingest_config import Ingest
from cxr.data.ingest.private_lists import shown
from cxr.data.ingest.pseudonyms import KEY_FILE_VARIABLE, key_id, load_key, pseudonym
from cxr.data.ingest.records import example
from cxr.data.ingest.rows import Row
from cxr.data.ingest.staged import Picture

if TYPE_CHECKING:
    import tensorflow as tf

_READ_AT_ONCE = 64  # files
Given = tuple[Row, str | bytes, bool | None]  # see `read_rows`
Facts = Mapping[str, Any]  # raw feature (core/features.py) but IMAGE: str, int or float; absent where not stated


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
      max_side: Pixels that longer ones are scaled down to; None: none is.
      unstated: Features that data of this kind cannot state.
      key_id: Tells the key of the patients' pseudonyms from others; empty: not known, or no patient is; None: it is one of this set alone.
    """

    total: int
    images: Iterator[Labelled]
    max_side: int | None
    notes: tuple[str, ...] = ()
    rejects: Counter[str] = field(default_factory=Counter)
    unstated: frozenset[str] = frozenset()
    key_id: str | None = ""

    def patients_differ(self, training: str) -> str:
        """Returns why patients of training data, whose key has this id, cannot be recognised; empty where they can, or nobody knows."""
        if self.key_id == "" or (self.key_id and training in ("", self.key_id)):
            return ""
        return (
            "patients could not be compared: the key of the training data's pseudonyms is not the one that was used here; "
            f"{KEY_FILE_VARIABLE} names its file"
        )


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
    found: Iterable[Given], total: int, config: Ingest, notes: Sequence[str], unstated: frozenset[str], key_file: Path | None = None
) -> LabelledImages:
    """Reads images as `cxr ingest` reads them.

    Args:
      found: Row, path or bytes of its image, and whether a model found that unlike its training images, if one said.
      total: How many.
      config: How they are read.
      notes: What a user should know.
      unstated: Features that the rows cannot state.
      key_file: Key of the pseudonyms, by which patients of records are recognised; where there is none, one is drawn and forgotten.
    """
    known = load_key(key_file) if key_file and key_file.is_file() else None
    key, rejects = known or secrets.token_bytes(32), Counter[str]()
    images = _read_rows(found, total, key, config, rejects, unstated)
    return LabelledImages(total, images, config.max_side, tuple(notes), rejects, unstated, key_id(known) if known else None)


def _read_rows(
    given: Iterable[Given], total: int, key: bytes, config: Ingest, rejects: Counter[str], unstated: frozenset[str]
) -> Iterator[Labelled]:
    bad: list[str] = []
    remaining = iter(given)
    with ThreadPoolExecutor(cores()) as pool:
        while some := list(islice(remaining, _READ_AT_ONCE)):
            sources = [source for _, source, _ in some]
            for (row, _, outside), found in zip(some, pool.map(partial(_read, config=config), sources), strict=True):
                if isinstance(found, str):
                    rejects[found] += 1
                    bad.append(f"{row.where}: {found}")
                else:
                    row.patient, row.person = pseudonym(key, row.unit), ""
                    made = labelled(example(row, Picture.of(found)), row.where)
                    facts = {name: value for name, value in made.facts.items() if name not in unstated}
                    yield Labelled(made.image, facts, outside)
    if bad and len(bad) > config.max_reject_share * total:
        raise CxrError(
            f"{len(bad)} of {total} files cannot be used, more than {config.max_reject_share:.0%}; mend or remove them "
            f"(`cxr ingest SOURCE RECORDS --split test` lists all with their paths):{shown(bad)}"
        )


def _read(source: str | bytes, config: Ingest) -> reader.GreyImage | str:
    """Returns the picture, or why there is none."""
    try:
        return reader.read_image(source, max_pixels=config.max_pixels, max_side=config.max_side)
    except ImageError as error:
        return error.reason
    except OSError:
        return "cannot be opened"
