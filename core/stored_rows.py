"""Arrays of one shape on disk: memory holds those that are being looked at."""

from __future__ import annotations

import os
import tempfile
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from cxr.core.machine_faults import writing_temporary_files

Array = npt.NDArray[np.float32]
ROWS_IN_MEMORY = 1024  # of features, where all of them may be more than memory holds
Positions = npt.NDArray[np.int64]


class StoredRows:
    """Rows of a file, in an order of their own; looks like an array of them.

    Indexing chooses rows and reads none, `np.asarray` reads. Threads may read at once. A file without a name goes with the last one that
    reads it; it lies where temporary files do (`TMPDIR`).
    """

    def __init__(self, file: IO[bytes], positions: Positions, row: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        """Reads nothing.

        Args:
          file: Holds rows one after the other, and is open for reading (for writing too, where rows are set).
          positions: Of the rows in the file, of any shape.
          row: Shape of a row.
          dtype: Of its numbers.
        """
        self._file, self._positions, self._row, self.dtype = file, positions, row, np.dtype(dtype)
        self._bytes = self.dtype.itemsize * int(np.prod(row))

    @classmethod
    def empty(cls, count: int, row: tuple[int, ...], dtype: npt.DTypeLike) -> StoredRows:
        """Makes a file without a name for rows that are to be set.

        Raises:
          CxrError: There is no room for the file.
        """
        with writing_temporary_files():
            return cls(tempfile.TemporaryFile(prefix="cxr-rows-"), np.arange(count), row, dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """As that of an array."""
        return (*self._positions.shape, *self._row)

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, which: Any) -> StoredRows:
        """Chooses rows, by anything that an array of their positions takes; a single number chooses one row."""
        return StoredRows(self._file, np.asarray(self._positions[which]), self._row, self.dtype)

    def __setitem__(self, which: Any, values: npt.ArrayLike) -> None:
        """Writes rows.

        Raises:
          CxrError: There is no room for them.
        """
        positions = np.asarray(self._positions[which])
        rows = np.ascontiguousarray(np.broadcast_to(np.asarray(values, self.dtype), (*positions.shape, *self._row)))
        for begin, end, first in _runs(positions):
            left, offset = rows.reshape(-1, *self._row)[begin:end].data.cast("B"), first * self._bytes
            while left:
                with writing_temporary_files():
                    written = os.pwrite(self._file.fileno(), left, offset)
                left, offset = left[written:], offset + written

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Reads.

        Raises:
          OSError: The file is shorter than it was.
        """
        rows = np.empty((self._positions.size, *self._row), self.dtype)
        for begin, end, first in _runs(self._positions):
            # not seek and read: threads share the file; not a mapping: its pages would count as memory of this process
            left, offset = rows[begin:end].data.cast("B"), first * self._bytes
            while left:
                read = os.preadv(self._file.fileno(), [left], offset)
                if not read:
                    raise OSError(f"a temporary file ends at byte {offset}; was it changed?")
                left, offset = left[read:], offset + read
        return rows.reshape(self.shape).astype(dtype or self.dtype, copy=False)

    def reshape(self, *leading: int) -> StoredRows:
        """Returns the same rows in another shape, without that of a row."""
        return StoredRows(self._file, self._positions.reshape(*leading), self._row, self.dtype)


Rows = npt.NDArray[Any] | StoredRows
FloatRows = Array | StoredRows


class RowWriter:
    """Takes rows one after the other, however many come, into a file without a name."""

    def __init__(self, dtype: npt.DTypeLike) -> None:
        """Makes the file.

        Args:
          dtype: What numbers are kept as.

        Raises:
          CxrError: There is no room for the file.
        """
        self._dtype, self._count, self._row = np.dtype(dtype), 0, (0,)
        with writing_temporary_files():
            self._file = tempfile.TemporaryFile(prefix="cxr-rows-")  # noqa: SIM115

    def append(self, row: npt.ArrayLike) -> None:
        """Takes a row, which has the shape of the one before it.

        Raises:
          CxrError: There is no room for it.
        """
        values = np.asarray(row, self._dtype)
        with writing_temporary_files():
            self._file.write(values.tobytes())
        self._count, self._row = self._count + 1, values.shape

    def rows(self) -> StoredRows:
        """Returns what came.

        Raises:
          CxrError: There is no room for the last of it.
        """
        with writing_temporary_files():
            self._file.flush()
        return StoredRows(self._file, np.arange(self._count), self._row, self._dtype)


def _runs(positions: Positions) -> list[tuple[int, int, int]]:
    """Returns (begin, end, first position) of what lies side by side in the file."""
    flat = positions.ravel()
    if not flat.size:
        return []
    cuts = np.flatnonzero(np.diff(flat) != 1) + 1
    begins, ends = [0, *cuts.tolist()], [*cuts.tolist(), flat.size]
    return list(zip(begins, ends, flat[begins].tolist(), strict=True))
