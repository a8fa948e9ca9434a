"""A folder that is there whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from cxr.core.durable import sync_folder, sync_tree
from cxr.core.errors import CxrError
from cxr.core.machine_faults import explained


@contextlib.contextmanager
def replaced(out: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yields an empty folder beside `out` that takes its place when the block ends well, and vanishes when it does not.

    What a killed process left behind is cleaned up by the next one; two at a time are refused.

    Args:
      out: The folder.
      durable: Brings the new files to disk before the old ones go, which takes milliseconds a file; False: for what is easily made again.

    Raises:
      CxrError: Another process is at it; the folder beside `out` cannot be made.
    """
    partial, old = _beside(out)
    try:
        with _locked_folder(out, partial):
            _restore(out)
            _empty(partial)
            yield partial
            if durable:
                sync_tree(partial)
            if out.exists():
                out.rename(old)
            partial.rename(out)
            sync_folder(out.parent)  # the old files go when the new ones are on the disk
            shutil.rmtree(old, ignore_errors=True)
    except BaseException:  # Ctrl-C before there is a lock, too
        _remove(partial)
        raise


@contextlib.contextmanager
def left_alone(out: Path) -> Iterator[bool]:
    """Tells whether nobody is writing `out`, and keeps it so while the block runs; then an exchange that was killed halfway is ended, too.

    Where nothing can be written, nothing is ended, and somebody might be writing.
    """
    partial, _ = _beside(out)
    if not out.parent.is_dir():
        yield True
        return
    try:
        partial.mkdir(exist_ok=True)
        handle = os.open(partial, os.O_RDONLY)
    except OSError:
        yield False
        return
    free = _locked(handle, partial)
    try:
        if free:
            _restore(out)
        yield free
    finally:
        if free:
            with contextlib.suppress(OSError):  # what a killed process left in it, the next one that writes clears up
                partial.rmdir()
        os.close(handle)


@contextlib.contextmanager
def _locked_folder(out: Path, partial: Path) -> Iterator[None]:
    """Makes the folder beside `out`, unless it is there, and has its lock while the block runs; removes it where that fails.

    Raises:
      CxrError: See `replaced`.
    """
    try:
        partial.mkdir(parents=True, exist_ok=True)
        handle = os.open(partial, os.O_RDONLY)
    except OSError as error:
        raise CxrError(explained(error, partial) or f"{partial}: cannot be made ({error.strerror})") from None
    try:
        if not _locked(handle, partial):
            raise CxrError(f"{out}: another process is writing it; wait for its end")
        try:
            yield
        except BaseException:  # not in `_remove` alone: a process that was forked meanwhile has the lock too, and may live on
            shutil.rmtree(partial, ignore_errors=True)
            raise
    finally:
        os.close(handle)


def _remove(partial: Path) -> None:
    """Removes the folder beside, unless it is gone or another process is at it."""
    try:
        handle = os.open(partial, os.O_RDONLY)
    except OSError:
        return
    try:
        if _locked(handle, partial):
            shutil.rmtree(partial, ignore_errors=True)
    finally:
        os.close(handle)


def _beside(out: Path) -> tuple[Path, Path]:
    """The folders that are made beside `out`: the new one, and the old one while they change places."""
    return out.with_name(f".{out.name}.partial"), out.with_name(f".{out.name}.old")


def _locked(handle: int, partial: Path) -> bool:
    """Takes the lock of a folder that is open, unless another process has it, or has put the folder elsewhere."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.fstat(handle).st_ino == os.stat(partial).st_ino
    except (BlockingIOError, FileNotFoundError):
        return False


def _restore(out: Path) -> None:
    _, old = _beside(out)
    if old.exists():
        if out.exists():
            shutil.rmtree(old)
        else:
            old.rename(out)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
