"""What a user reads where the machine is at fault (a full or read-only disk, no memory, no threads): the place, the cause, a remedy."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cxr.core import unstarted_threads
from cxr.core.errors import CxrError

_AGAIN = "then run the same command again"
_REMEDIES = {
    errno.ENOSPC: f"make room there, {_AGAIN}",
    errno.EDQUOT: f"make room there or have the quota raised, {_AGAIN}",
    errno.EFBIG: f"have the limit raised (ulimit -f), {_AGAIN}",
    errno.EROFS: "mount it to be written to, or name another place",
    errno.EACCES: "have the permission given, or name another place",
    errno.EPERM: "have the permission given (lsattr shows files that nobody may change), or name another place",
    errno.ENOMEM: "smaller batches or images need less; end other programs, or have the limit raised (ulimit -v) if there is one",
    errno.EIO: f"the disk is faulty or was taken away: see `dmesg`, {_AGAIN}",
    errno.ESTALE: f"the network's disk was taken away: mount it again, {_AGAIN}",
    errno.ETIMEDOUT: f"the network's disk does not answer: see whether it is reached, {_AGAIN}",
    errno.EMFILE: f"have the limit of open files raised (ulimit -n), {_AGAIN}",
    errno.ENFILE: f"end some programs: all of this machine have too many files open, {_AGAIN}",
}
_OF_NO_FILE = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # another time the file can be read

_PATHS = {  # of a path that was given; libraries meet them on their own ways, so that no text is searched for them
    errno.ENOTDIR: "a part of this path is a file; name another place",
    errno.EISDIR: "this is a folder where a file belongs; name a file, or move the folder away",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "a link leads to itself: remove it, or name another place",
}
_KNOWN = _REMEDIES | _PATHS
# Known by its text only: as an error of a file this number says that one is busy.
_NO_THREAD = f"end other programs, or have the limits raised (ulimit -v, ulimit -u, a container's own), {_AGAIN}"
_READ_TOO = (errno.EACCES, errno.EPERM)  # of files that a user named, where the library's own words say more
_TEXTS = {os.strerror(code): code for code in _REMEDIES if code not in _READ_TOO} | {  # all that Beam, TensorFlow or SQLite may keep
    "database or disk is full": errno.ENOSPC,
    "attempt to write a readonly database": errno.EROFS,
    "disk I/O error": errno.EIO,
    "std::bad_alloc": errno.ENOMEM,
    "OOM when allocating": errno.ENOMEM,
    unstarted_threads.WORDS: errno.EAGAIN,
    "failed to map segment from shared object": errno.ENOMEM,  # of a library that is imported
}


def explained(error: Exception, place: Path | None = None) -> str | None:
    """Returns the message for an error that the machine is to blame for; None for any other.

    Args:
      error: An OSError or MemoryError, or what Beam, TensorFlow or SQLite make of one.
      place: Folder that was written to, for an error that names no file (of a write, none does).
    """
    code, file = _cause(error)
    return None if code is None else _message(code, file or place)


@contextmanager
def writing_to(place: Path) -> Iterator[None]:
    """Turns such errors of its block into ones that a user reads; no file outside of `place` is named, which may be a patient's study.

    Args:
      place: Folder that the block writes to.

    Raises:
      CxrError: The disk is full, read-only, faulty, or the user has no right.
    """
    try:
        yield
    except CxrError:
        raise
    except Exception as error:
        code, file = _cause(error)
        if code is None:
            raise
        raise CxrError(_message(code, file if file and Path(file).is_relative_to(place) else place)) from error


@contextmanager
def writing_temporary_files() -> Iterator[None]:
    """Turns such errors of its block, which writes nothing but temporary files, into ones that a user reads: their disk is often another.

    Raises:
      CxrError: As of `writing_to`; it names the folder of temporary files, and how to have them elsewhere.
    """
    try:
        yield
    except OSError as error:
        code, _ = _cause(error)
        if code is None:
            raise
        place = _message(code, tempfile.gettempdir())
        raise CxrError(f"{place}; temporary files lie there: TMPDIR=FOLDER before the command puts them elsewhere") from error


def check_file_at_fault(error: OSError) -> None:
    """Raises where the machine is to blame for a file that could not be read: such a file is none to leave out.

    Raises:
      CxrError: It is; the file is not named, which may be a patient's study.
    """
    if error.errno in _OF_NO_FILE:
        raise CxrError(f"a file of the source cannot be read: {_message(error.errno, None)}") from None


def _message(code: int, where: str | Path | None) -> str:
    if code == errno.ENOMEM:
        return f"{os.strerror(code)}: the memory is full; {_REMEDIES[code]}"
    if code == errno.EAGAIN:
        return f"no more threads can be started: the memory is full, or a limit is reached; {_NO_THREAD}"
    return f"{f'{where}: ' if where else ''}{os.strerror(code)}; {_KNOWN[code]}"


def _cause(error: BaseException | None) -> tuple[int | None, str | None]:
    """The number and the file of the first such error in a chain; none where somebody has put it into words for a user already."""
    text = str(error)
    while error is not None:
        if isinstance(error, CxrError):
            return None, None
        if isinstance(error, OSError) and error.errno in _KNOWN:
            return error.errno, error.filename
        if isinstance(error, MemoryError):
            return errno.ENOMEM, None
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return next((code for known, code in _TEXTS.items() if known in text), None), None
