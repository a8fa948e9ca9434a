"""Hashes of files, folders and settings. They are stored (champion pointer, cache keys, records): if one changes, all of those look new."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def of_file(path: str | Path) -> str:
    """Returns the SHA-256 (hex) of a file's bytes.

    Raises:
      OSError: It cannot be read.
    """
    return _of_file(path).hex()


def of_folder(folder: Path, new: Callable[[], Any] = hashlib.sha256) -> str:
    """Returns a hash (hex) over the names and contents of all files below a folder; times and empty folders do not count.

    Args:
      folder: May be empty or missing: the hash of nothing.
      new: Makes the hash that joins the files' own ones, such as `hashlib.sha256`.

    Raises:
      OSError: A file cannot be read.
    """
    digest = new()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(str(file.relative_to(folder)).encode() + b"\0" + _of_file(file))
    return str(digest.hexdigest())


def of_parts(parts: Sequence[Any]) -> str:
    """Returns a short hash (hex) of settings and arrays: equal for equal parts.

    Args:
      parts: Arrays, of which the bytes count, or anything that JSON takes.
    """
    digest = hashlib.sha256()
    for part in parts:
        is_array = isinstance(part, (np.ndarray, np.generic))  # Keras gives weights without axes as NumPy's numbers
        digest.update(np.ascontiguousarray(part).tobytes() if is_array else json.dumps(part, sort_keys=True).encode())
        digest.update(b"\0")
    return digest.hexdigest()[:24]


def of_image(content_hash: str | bytes) -> bytes:
    """Returns the eight bytes that stand for an image where its content hash would say too much or take too much room.

    Nobody can get a picture, a patient or a path from them; who has a picture can find what is kept of it.

    Args:
      content_hash: features.CONTENT_HASH.
    """
    text = content_hash if isinstance(content_hash, bytes) else str(content_hash).encode()
    return hashlib.blake2b(text, digest_size=8).digest()


def _of_file(path: str | Path) -> bytes:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()
