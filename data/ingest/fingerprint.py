"""Tells whether records are those of a source: by what the request and the images hold, not by when files were touched."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from cxr.core import fingerprints
from cxr.data.ingest.dataset import RECORDS_VERSION
from cxr.data.ingest.ingest_config import Ingest
from cxr.data.ingest.private_lists import BadRows
from cxr.data.ingest.rows import Row

# Nothing in the records depends on these.
WITHOUT_EFFECT = {"workers", "paths_outside", "max_reject_share"}


def state(rows: Sequence[Row], config: Ingest, key: bytes) -> str:
    """Fingerprints request and files by size and time of change: quick, and another one after a mere `touch`.

    Args:
      rows: Before they are dealt to splits.
      config: All settings.
      key: Of the pseudonyms.

    Raises:
      BadRows: A file cannot be looked at.
    """
    states = {}
    for row in rows:
        try:
            found = [os.stat(path) for path in (row.path, row.mask) if path]
        except OSError as error:
            raise BadRows(f"an image cannot be looked at ({error.strerror}); check the permissions:", [row]) from None
        states[row.number] = " ".join(f"{one.st_size} {one.st_mtime_ns}" for one in found)
    return _digest(rows, config, key, states)


def content(rows: Sequence[Row], config: Ingest, key: bytes, hashes: Mapping[int, str]) -> str:
    """Fingerprints request and files by content.

    Args:
      rows: The same as for `state`.
      config: All settings.
      key: Of the pseudonyms.
      hashes: Number of a row: hash of its file, as far as they are known; the other files are read.
    """
    unknown = [row for row in rows if row.number not in hashes]
    masked = [row for row in rows if row.mask]
    with ThreadPoolExecutor(config.workers) as pool:
        found = dict(zip((row.number for row in unknown), pool.map(_hash_or_nothing, (row.path for row in unknown)), strict=True))
        files = {**hashes, **found}
        for row, mask in zip(masked, pool.map(_hash_or_nothing, (row.mask for row in masked)), strict=True):
            files[row.number] += f" {mask}"
    return _digest(rows, config, key, files)


def _hash_or_nothing(path: str) -> str:
    try:
        return fingerprints.of_file(path)
    except OSError:  # it is a reject
        return ""


def _digest(rows: Sequence[Row], config: Ingest, key: bytes, files: Mapping[int, str]) -> str:
    digest = hashlib.sha256(hashlib.sha256(key).digest())
    # Left out where not set, so that folders of earlier releases stay up to date.
    unset = {"only_split"} if config.only_split is None else set()
    digest.update(json.dumps([RECORDS_VERSION, config.model_dump(mode="json", exclude=WITHOUT_EFFECT | unset)], sort_keys=True).encode())
    for row in sorted(rows, key=lambda row: row.name):
        facts = [row.name, row.label, row.patient, row.split, row.source, row.view, row.sex, row.age, files[row.number]]
        if row.license:  # else as earlier releases had it
            facts.append(row.license)
        digest.update(json.dumps(facts).encode() + b"\n")
    return digest.hexdigest()
