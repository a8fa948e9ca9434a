"""Rows that a killed run leaves for the next one: as many of them as are still what was written."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np

from cxr.core import progress
from cxr.core.counts import how_many
from cxr.core.durable import replacing
from cxr.core.stored_rows import Array, StoredRows
from cxr.trainer.feature_cache.shards import CHECK_BYTES, check_of


class UnfinishedRows:
    """A file of float32 rows, one after the other, and beside it one of their checks; each is of the row and of its place.

    Both files are new, and take the names of those before. So all rows are those that were read whole in the beginning and those that this
    process has added, whatever else is written under these names meanwhile (`state_folder` keeps others out where the volume has locks).

    Attributes:
      done: How many rows there are.
    """

    def __init__(self, file: Path, count: int, width: int) -> None:
        """Takes over the rows of an interrupted run, up to the first that is not what was written.

        Args:
          file: Of the rows; its folder is made.
          count: How many rows there will be.
          width: Of a row.

        Raises:
          OSError: They cannot be read or written.
        """
        file.parent.mkdir(parents=True, exist_ok=True)
        self._count, self._width, self.done = count, width, 0
        checks = file.with_name(f"{file.name}.checks")
        with replacing(checks) as new_checks, replacing(file) as new_rows:
            self._rows, self._checks = _same_file(new_rows), _same_file(new_checks)
            with suppress(FileNotFoundError), open(file, "rb") as rows, open(checks, "rb") as of_rows:
                self._take_over(rows, of_rows, file.name)

    def append(self, rows: Array) -> None:
        """Keeps rows, [rows, width].

        Raises:
          OSError: There is no room for them.
        """
        self._rows.write(rows.tobytes())
        self._rows.flush()
        self._checks.write(b"".join(check_of(_key(number), row.tobytes()) for number, row in enumerate(rows, self.done)))
        self._checks.flush()
        self.done += len(rows)

    def stored(self) -> StoredRows:
        """Returns all rows, float32 [count, width]."""
        return StoredRows(self._rows, np.arange(self._count), (self._width,), np.float32)

    def _take_over(self, rows: IO[bytes], checks: IO[bytes], name: str) -> None:
        size = np.dtype(np.float32).itemsize * self._width
        while self.done < self._count:
            row, check = rows.read(size), checks.read(CHECK_BYTES)
            if check_of(_key(self.done), row) != check:
                break
            self._rows.write(row)
            self._checks.write(check)
            self.done += 1
        self._rows.flush()
        self._checks.flush()
        if self.done < checks.seek(0, os.SEEK_END) // CHECK_BYTES:  # a killed run's rows are there before their checks
            progress.report(
                f"{name}: what an interrupted run had kept is damaged after {how_many(self.done, 'row')}; the others are made anew", 0
            )


def _same_file(file: IO[bytes]) -> IO[bytes]:
    """Returns another handle of a file, which stays open when the other one is closed."""
    return os.fdopen(os.dup(file.fileno()), "r+b")


def _key(number: int) -> bytes:
    return number.to_bytes(8, "little")
