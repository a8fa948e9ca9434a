"""Tells whether records are those of a source: by what the request and the images hold, not by when files were touched."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from cxr.core import fingerprints
from cxr.data.ingest.dataset import RECORDS_VERSION
from cxr.data.ingest.ingest_config import Ingest
from cxr.data.ingest.private_lists import BadRows
from cxr.data.ingest.rows import Row

# Settings on which nothing in the records depends.
WITHOUT_EFFECT = {"workers", "paths_outside", "max_reject_share"}
# Settings and facts that earlier releases did not have: left out where not set, so that their folders stay up to date.
LATER_SETTINGS = {"only_split"}
LATER = ("license",)
# What else of a row decides on the records; files count by what they hold, or by size and time.
STATED = ("name", "label", "patient", "split", "source", "view", "sex", "age")
_AT_ONCE = 1024  # rows; the pool holds what it was given until that is done


def state(rows: Sequence[Row], config: Ingest, key: bytes) -> str:
    """Fingerprints request and files by size and time of change: quick, and another one after a mere `touch`.

    Args:
      rows: Before they are dealt to splits.
      config: All settings.
      key: Of the pseudonyms.

    Raises:
      BadRows: A file cannot be looked at.
    """

    def facts(row: Row) -> str:
        try:
            found = [os.stat(path) for path in (row.path, row.mask) if path]
        except OSError as error:
            raise BadRows(f"an image cannot be looked at ({error.strerror}); check the permissions:", [row]) from None
        which = f" {os.path.relpath(row.mask, row.folder)}" if row.mask else ""  # those of two images may be of one size and time
        return " ".join(f"{one.st_size} {one.st_mtime_ns}" for one in found) + which

    return _digest(rows, config, key, lambda some: map(facts, some))


def content(rows: Sequence[Row], config: Ingest, key: bytes, known: Callable[[Row], str] | None) -> str:
    """Fingerprints request and files by content.

    Args:
      rows: The same as for `state`.
      config: All settings.
      key: Of the pseudonyms.
      known: Returns the hash of a row's file; None: the files are read.
    """

    def facts(row: Row) -> str:
        image = known(row) if known else _hash_or_nothing(row.path)
        return f"{image} {_hash_or_nothing(row.mask)}" if row.mask else image

    with ThreadPoolExecutor(config.workers) as pool:
        return _digest(rows, config, key, lambda some: pool.map(facts, some))


def _hash_or_nothing(path: str) -> str:
    try:
        return fingerprints.of_file(path)
    except OSError:  # it is a reject
        return ""


def _digest(rows: Sequence[Row], config: Ingest, key: bytes, facts_of: Callable[[Sequence[Row]], Iterable[str]]) -> str:
    """Joins request, rows and what is to be known of each row's files, some rows at a time."""
    digest = hashlib.sha256(hashlib.sha256(key).digest())
    unset = {name for name in LATER_SETTINGS if getattr(config, name) is None}
    digest.update(json.dumps([RECORDS_VERSION, config.model_dump(mode="json", exclude=WITHOUT_EFFECT | unset)], sort_keys=True).encode())
    ordered = sorted(rows, key=lambda row: row.name)
    for start in range(0, len(ordered), _AT_ONCE):
        some = ordered[start : start + _AT_ONCE]
        for row, files in zip(some, facts_of(some), strict=True):
            facts = [*(getattr(row, name) for name in STATED), files, *(value for name in LATER if (value := getattr(row, name)))]
            digest.update(json.dumps(facts).encode() + b"\n")
    return digest.hexdigest()
