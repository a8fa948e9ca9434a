"""Files that outlast a loss of power: what they hold is on the disk before they have their name."""

from __future__ import annotations

import errno
import glob
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

UUID = "[0-9a-f]" * 32  # pattern of what a draft's name ends with
_LEFT_OVER_SECONDS = 3600  # such a file is younger
_LONGEST = 255 - len("..") - 32  # bytes of a file's name that stay in its draft's: no file system takes more than 255


@contextmanager
def replacing(path: Path, mode: int | None = None, *, keep: bool = False) -> Iterator[BinaryIO]:
    """Yields a hidden file beside `path` that takes its place when the block ends well, and vanishes when it does not.

    A reader, or a machine that loses power, finds the old file or the new one.

    Args:
      path: Of the file; its folder is there.
      mode: Of the new file, from the beginning; None: as the process makes files.
      keep: A file that is there stays: of several processes that write one, the first does.

    Raises:
      OSError: It cannot be written.
    """
    draft = path.with_name(f".{_in_a_draft(path)}.{uuid.uuid4().hex}")  # not the process: its number comes again in another container
    try:
        with open(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else mode), "w+b") as file:
            yield file
            file.flush()
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            _sync(file.fileno())
        if keep:
            with suppress(FileExistsError):
                os.link(draft, path)
        else:
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def replace_text(path: Path, text: str, mode: int | None = None) -> None:
    """Writes a file as `replacing` does; what processes left of it that were killed meanwhile goes."""
    remove_drafts(path)
    with replacing(path, mode) as file:
        file.write(text.encode())


def replace_output(path: Path, text: str) -> None:
    """Writes a file that a user named, as `replacing` does: a link is followed, and what is no file (/dev/stdout, a pipe) is written to.

    Raises:
      OSError: It cannot be written.
    """
    target = path.resolve()
    if target.exists() and not target.is_file():
        path.write_text(text, encoding="utf-8")
    else:
        replace_text(target, text, target.stat().st_mode & 0o777 if target.exists() else None)


def remove_drafts(path: Path) -> None:
    """Removes what processes left of a file that they were writing: for files whose text nobody else may find once they are gone."""
    remove_left_over(path.parent, glob.escape(_in_a_draft(path)))


def remove_left_over(folder: Path, names: str) -> None:
    """Removes what killed processes left of files that they were writing: what is an hour old, or more.

    Args:
      folder: Of the files.
      names: Pattern of theirs.
    """
    for draft in folder.glob(f".{names}.{UUID}"):
        with suppress(OSError):  # gone, or not ours
            if time.time() - draft.stat().st_mtime > _LEFT_OVER_SECONDS:
                draft.unlink()


def sync_tree(folder: Path) -> None:
    """Brings all files below a folder to disk, then the folders: before it gets the name under which others find it.

    Raises:
      OSError: The disk does not take them.
    """
    for parent, _, files in os.walk(folder, topdown=False):
        for name in files:
            with open(Path(parent) / name, "rb") as file:
                _sync(file.fileno())
        sync_folder(Path(parent))


def _in_a_draft(path: Path) -> str:
    """Returns what a draft's name holds of the file's: all of it, or what is not too long."""
    return os.fsdecode(os.fsencode(path.name)[:_LONGEST])


def _sync(handle: int) -> None:
    """Brings a file to disk, where its file system can."""
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
            raise


def sync_folder(folder: Path) -> None:
    """Brings a folder's entries to disk; without effect where that cannot be (CIFS, some FUSE, a folder that may not be read)."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
