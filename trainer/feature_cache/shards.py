"""One file of kept rows: it appears whole, and is never changed afterwards.

A NumPy array of records: the key of an image, a check over key and row, the row. So several processes may write and read at once without
locks, also on a network file system, and one that is killed leaves at most a file that nobody reads. A row whose check fails is not used.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cxr.core.durable import UUID, replacing
from cxr.core.stored_rows import StoredRows

NAMES = f"{UUID}.npy"  # pattern of those that `write` gives
KEY_BYTES, CHECK_BYTES = 16, 8
SHARD_BYTES = 32 << 20  # a file of this size is read at once
Keys = npt.NDArray[np.void]  # [images], KEY_BYTES each
Rows = npt.NDArray[np.float32]  # [images, width]


def key(*parts: bytes) -> bytes:
    """Returns the key of what follows from some bytes alone; nobody gets a picture, a patient or a path from it."""
    digest = hashlib.blake2b(digest_size=KEY_BYTES)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.digest()


def as_keys(keys: list[bytes]) -> Keys:
    """Returns keys as an array."""
    return np.frombuffer(b"".join(keys), np.dtype((np.void, KEY_BYTES)))


def parts(keys: Keys, rows: Rows | StoredRows) -> Iterator[tuple[Keys, Rows]]:
    """Yields keys and rows in pieces that each fit into one file."""
    step = max(1, SHARD_BYTES // _layout(rows.shape[1]).itemsize)
    for begin in range(0, len(keys), step):
        yield keys[begin : begin + step], np.asarray(rows[begin : begin + step])


def size_of(keys: Keys, rows: Rows) -> int:
    """Returns about how many bytes a file takes."""
    return len(keys) * _layout(rows.shape[1]).itemsize


def write(folder: Path, keys: Keys, rows: Rows) -> Path:
    """Writes a file, and returns it; it appears whole or not at all.

    Raises:
      OSError: It cannot be written.
    """
    table = np.empty(len(keys), _layout(rows.shape[1]))
    table["key"], table["row"] = keys, rows
    table["check"] = [check_of(one.tobytes(), row.tobytes()) for one, row in zip(keys, table["row"], strict=True)]
    file = folder / f"{uuid.uuid4().hex}.npy"
    with replacing(file) as stream:
        np.save(stream, table, allow_pickle=False)
    return file


def read(file: Path, width: int) -> tuple[Keys, Rows, npt.NDArray[np.void]] | None:
    """Returns keys, rows and checks of a file (see `valid`), or None where it is damaged or of another width.

    Raises:
      OSError: It cannot be read; FileNotFoundError: another process has removed it.
    """
    try:
        table = np.load(file, allow_pickle=False)
    except OSError:
        raise
    except Exception:  # a damaged header fails in ways that NumPy does not list
        return None
    if getattr(table, "dtype", None) != _layout(width) or table.ndim != 1:
        return None
    return table["key"], table["row"], table["check"]


def valid(one: np.void, row: Rows, check: np.void) -> bool:
    """Tells whether a row is what was written for a key."""
    return check_of(one.tobytes(), row.tobytes()) == check.tobytes()


def check_of(one: bytes, row: bytes) -> bytes:
    """Returns what tells whether a row is what was written for a key: a hash of both, `CHECK_BYTES` long."""
    return hashlib.blake2b(one + row, digest_size=CHECK_BYTES).digest()


def _layout(width: int) -> np.dtype[np.void]:
    return np.dtype([("key", np.void, KEY_BYTES), ("check", np.void, CHECK_BYTES), ("row", "<f4", (width,))])
