"""The encoded images of a split, on disk: memory holds those that are being looked at."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, overload

import numpy as np
import numpy.typing as npt

from cxr.core.machine_faults import writing_temporary_files


@dataclass(frozen=True)
class EncodedImages:
    """Images in an order of their own; looks like an array of bytes.

    The file has no name (it goes with the last one that reads it), and lies where temporary files do: `TMPDIR` says where.
    """

    _file: IO[bytes]
    _offsets: npt.NDArray[np.int64]  # [images]
    _lengths: npt.NDArray[np.int64]  # [images]

    @classmethod
    def of(cls, images: Iterable[bytes]) -> EncodedImages:
        """Writes images to a file.

        Raises:
          CxrError: There is no room for them.
        """
        with writing_temporary_files():
            file = tempfile.TemporaryFile(prefix="cxr-images-")  # noqa: SIM115
        lengths = []
        for image in images:  # they are read meanwhile, from another disk
            with writing_temporary_files():
                lengths.append(file.write(image))
        with writing_temporary_files():
            file.flush()
        ends = np.cumsum(lengths, dtype=np.int64)
        return cls(file, ends - lengths, np.array(lengths, np.int64))

    def __len__(self) -> int:
        return len(self._lengths)

    @overload
    def __getitem__(self, which: int | np.integer) -> bytes: ...

    @overload
    def __getitem__(self, which: slice | npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> EncodedImages: ...

    def __getitem__(self, which: int | np.integer | slice | npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> bytes | EncodedImages:
        """Returns one image by its position, or some of them by positions or a mask."""
        if isinstance(which, slice) or np.ndim(which):
            return EncodedImages(self._file, self._offsets[which], self._lengths[which])
        # not seek and read: threads share the file; not a mapping: its pages would count as memory of this process
        return os.pread(self._file.fileno(), int(self._lengths[which]), int(self._offsets[which]))

    def __iter__(self) -> Iterator[bytes]:
        return (self[i] for i in range(len(self)))
