"""Keeps other processes out of a folder, or of what a file of locks stands for."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from pathlib import Path
from typing import IO

from cxr.core.errors import CxrError

_POLL_SECONDS = 0.05
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


def take(folder: Path, busy: str) -> int:
    """Locks a folder for this process, and returns what it must close (`os.close`) to let others in; its end does so too.

    Args:
      folder: There already.
      busy: What to say where another process has it.

    Raises:
      OSError: It cannot be opened.
      CxrError: Another process has it.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise CxrError(busy) from None
    return handle


def wait(file: IO[str], seconds: float, busy: str) -> None:
    """Locks a file for this process once no other has it; closing the file lets others in.

    Args:
      file: Open for writing: NFS locks no others.
      seconds: To wait.
      busy: What to say where another process has it all the time, after the file's name.

    Raises:
      CxrError: Another process has it, or the volume has no file locks.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise CxrError(f"{file.name}: {busy}") from None
            time.sleep(_POLL_SECONDS)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            raise CxrError(f"{file.name}: the volume has no file locks ({error.strerror}); use one that has: NFSv4, CephFS") from error
