"""TFRecord files in a folder of bounded size; a reader of the folder sees whole files only."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import time
from datetime import UTC, datetime
from pathlib import Path

import tensorflow as tf

from cxr.core.errors import CxrError
from cxr.core.features import REQUEST_LOG_SUFFIX as SUFFIX

_OPEN = ".part"  # ends the name of a hidden file that is being written
_FRAME = 16  # bytes of a TFRecord besides the record: its length and two checksums
_FORSAKEN = 3600.0  # seconds without a write, after which a hidden file's server is gone


def prepare(folder: Path) -> None:
    """Makes a folder that its owner alone may read, where it is not there.

    Raises:
      CxrError: It cannot be made or written, or others may read it.
    """
    try:
        folder.mkdir(0o700, parents=True, exist_ok=True)
        shared = stat.S_IMODE(folder.stat().st_mode) & 0o077
    except OSError as error:
        raise CxrError(f"--log-requests {folder}: cannot be made ({error.strerror})") from None
    if shared:
        raise CxrError(f"--log-requests {folder}: others may read this folder; chmod 700 it, or name one that is not there yet")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CxrError(f"--log-requests {folder}: cannot be written; check who owns it")


class LogFiles:
    """Writes records, of one thread.

    A file is hidden while it is written; it appears by a rename when it is full, when it is old, and at the end. The oldest files go where
    the folder would become too large.
    """

    def __init__(self, folder: Path, file_bytes: int, total_bytes: int, seconds: float) -> None:
        """Takes over a folder.

        Args:
          folder: See `prepare`. Several servers may write into one.
          file_bytes: A file that would become larger is ended.
          total_bytes: Of all files.
          seconds: A file older than that is ended, too.

        Raises:
          CxrError: See `prepare`.
        """
        prepare(folder)
        self._folder, self._file_bytes, self._total_bytes, self._seconds = folder, file_bytes, total_bytes, seconds
        self._writer: tf.io.TFRecordWriter | None = None
        self._path = folder
        self._size, self._since = 0, 0.0
        for part in folder.glob(f".*{_OPEN}"):
            with contextlib.suppress(OSError):
                if time.time() - part.stat().st_mtime > _FORSAKEN:
                    part.unlink()

    def write(self, record: bytes) -> None:
        """Adds a record; it is in the file when this returns.

        Raises:
          OSError, tf.errors.OpError, CxrError: It cannot be written. What stood in the open file is lost, the next call begins another.
        """
        size = len(record) + _FRAME
        if self._writer is not None and self._size + size > self._file_bytes:
            self.end_file()
        try:
            writer = self._writer or self._begin_file(size)
            writer.write(record)
            writer.flush()
        except BaseException:
            self._give_up()
            raise
        self._size += size

    def end_file(self) -> None:
        """Lets the open file appear, if there is one.

        Raises:
          OSError, tf.errors.OpError: As `write`.
        """
        if self._writer is None:
            return
        try:
            self._writer.close()
            self._path.rename(self._folder / self._path.name.removeprefix(".").removesuffix(_OPEN))
        except BaseException:
            self._give_up()
            raise
        self._writer = None

    def end_old_file(self) -> None:
        """Lets the open file appear if it is old; see `end_file`."""
        if self._writer is not None and time.monotonic() - self._since > self._seconds:
            self.end_file()

    def _begin_file(self, first: int) -> tf.io.TFRecordWriter:
        prepare(self._folder)
        self._make_room(max(self._file_bytes, first))
        # The time of the file, not of a request; the rest tells servers apart that write into one folder.
        name = f"predictions-{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}{SUFFIX}"
        self._path = self._folder / f".{name}{_OPEN}"
        os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))  # the writer keeps the mode
        self._writer = tf.io.TFRecordWriter(str(self._path))
        self._size, self._since = 0, time.monotonic()
        return self._writer

    def _make_room(self, wanted: int) -> None:
        files = sorted(self._folder.glob(f"predictions-*{SUFFIX}"))
        sizes = {file: _size_of(file) for file in (*files, *self._folder.glob(f".*{_OPEN}"))}
        over = sum(sizes.values()) + wanted - self._total_bytes
        for file in files:
            if over <= 0:
                break
            file.unlink(missing_ok=True)
            over -= sizes[file]

    def _give_up(self) -> None:
        writer, self._writer = self._writer, None
        with contextlib.suppress(Exception):
            if writer is not None:
                writer.close()
        with contextlib.suppress(OSError):
            if self._path != self._folder:
                self._path.unlink()


def _size_of(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # another server ended or removed it
        return 0
