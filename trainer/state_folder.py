"""Who has the state that an interrupted training resumes from: one process at a time. Others go on without."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Self

from cxr.core import folder_lock, progress
from cxr.core.errors import CxrError

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
        progress.report(f"training state {reason}; this training begins anew, and keeps nothing to go on from", 0)
        return None


@contextmanager
def held(folder: Path) -> Iterator[str]:
    """Keeps other processes out of a state folder while the block runs; the folder may come and go meanwhile.

    Yields:
      Why it is not ours, with its name: another process has it, or its volume gives no lock. Empty: it is ours.

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


def _locked(lock: Path) -> tuple[IO[str], str]:
    """Returns the file of a lock, open, and why the lock is not ours, as `held` does."""
    while True:
        file = open(lock, "a", encoding="utf-8")  # noqa: SIM115
        try:
            folder_lock.wait(file, 0, _BUSY)
        except CxrError as error:
            return file, str(error)
        except OSError as error:  # of NFS, ESTALE, where its holder takes it away; without a lock nobody knows whose the folder is
            return file, f"{lock}: {error.strerror}"
        if os.fstat(file.fileno()).st_nlink:
            return file, ""
        file.close()  # its holder ended, and took it away after we had opened it


def _lock_of(folder: Path) -> Path:
    """Returns a file, as NFS locks folders within one machine only; it lies beside the folder, which goes while the lock is held."""
    return folder.with_name(f"{folder.name}.lock")
