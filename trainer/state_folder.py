"""Who has the state that an interrupted training resumes from: one process at a time. Others go on without."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Self

from cxr.core import progress

_BUSY = "another process has it: the same training in another run, or an attempt of this one that has not ended"


class States:
    """State folders below one root: those that `take` returns are this process's alone until the block ends.

    Two processes get one folder where they train the same: two runs of one pipeline on Kubeflow, or a trainer that is tried again while
    the pod that was given up still runs.
    """

    def __init__(self, root: Path) -> None:
        """Touches nothing.

        Args:
          root: The folder that they lie in; made when one is taken.
        """
        self._root, self._held = root, ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def take(self, name: str) -> Path | None:
        """Returns the folder of a training, there or not; None: it cannot be had, and the log says why and what that costs.

        Args:
          name: Equal for equal trainings.

        Raises:
          OSError: The root cannot be written to.
        """
        folder = self._root / name
        reason = self._held.enter_context(held(folder))
        if not reason:
            return folder
        progress.report(f"training state {folder}: {reason}; this training begins anew, and keeps nothing to go on from", 0)
        return None


@contextmanager
def held(folder: Path) -> Iterator[str]:
    """Keeps other processes out of a state folder while the block runs; the folder may come and go meanwhile.

    Yields:
      Why it is not ours: another process has it, or its volume knows no locks (ENOLCK, ENOSYS, EOPNOTSUPP). Empty: it is ours.

    Raises:
      OSError: The file of the lock cannot be made.
    """
    lock = _lock_of(folder)
    lock.parent.mkdir(parents=True, exist_ok=True)
    file, reason = _locked(lock)
    with file:
        try:
            yield reason
        finally:
            if not reason:
                lock.unlink(missing_ok=True)


def is_held(folder: Path) -> bool:
    """Tells whether another process has a state folder, or may have it; writes nothing."""
    try:
        with open(_lock_of(folder), "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _locked(lock: Path) -> tuple[IO[bytes], str]:
    """Returns the file of a lock, open, and why the lock is not ours, as `held` does."""
    while True:
        # NFS locks files that are open for writing only, and folders only within one machine.
        file = open(lock, "ab")  # noqa: SIM115
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return file, _BUSY
        except OSError as error:
            return file, f"its volume gives no file lock ({error.strerror})"
        if os.fstat(file.fileno()).st_nlink:
            return file, ""
        file.close()  # its holder ended, and took it away after we had opened it


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")  # beside it: the folder goes while the lock is held
