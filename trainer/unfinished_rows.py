"""Rows that a killed run leaves for the next one: as many of them as are still what was written."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cxr.core import progress
from cxr.core.counts import how_many
from cxr.core.stored_rows import Array, StoredRows
from cxr.trainer.feature_cache.shards import CHECK_BYTES, check_of


class UnfinishedRows:
    """A file of float32 rows, one after the other, and beside it one of their checks; each is of the row and of its place.

    Attributes:
      done: How many rows there are.
    """

    def __init__(self, file: Path, count: int, width: int) -> None:
        """Opens the files of an interrupted run, or new ones; what follows the first row that is not what was written is cut off.

        Args:
          file: Of the rows; its folder is made.
          count: How many rows there will be.
          width: Of a row.

        Raises:
          OSError: They cannot be read or written.
        """
        file.parent.mkdir(parents=True, exist_ok=True)
        self._rows = open(file, "a+b")  # noqa: SIM115
        self._checks = open(file.with_name(f"{file.name}.checks"), "a+b")  # noqa: SIM115
        self._count, self._width = count, width
        size = np.dtype(np.float32).itemsize * width
        self.done = self._valid(size)
        if self.done < self._checks.seek(0, 2) // CHECK_BYTES:  # a killed run's rows are there before their checks
            progress.report(
                f"{file.name}: what an interrupted run had kept is damaged after {how_many(self.done, 'row')}; the others are made anew", 0
            )
        self._rows.truncate(self.done * size)
        self._checks.truncate(self.done * CHECK_BYTES)

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

    def _valid(self, size: int) -> int:
        """Counts the rows, of so many bytes, up to the first that is not what was written."""
        self._rows.seek(0)
        self._checks.seek(0)
        for number in range(self._count):
            row, check = self._rows.read(size), self._checks.read(CHECK_BYTES)
            if check_of(_key(number), row) != check:
                return number
        return self._count


def _key(number: int) -> bytes:
    return number.to_bytes(8, "little")
