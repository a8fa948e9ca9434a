"""Keeps other processes out of a folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from cxr.core.errors import CxrError


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
