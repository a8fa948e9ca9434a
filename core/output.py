"""Standard output and standard error of a command: closed ones, those whose reader has gone (`cxr runs | head -1`), and their encoding."""

from __future__ import annotations

import codecs
import errno
import io
import os
import select
import sys

STDOUT = "standard output"  # as messages call it
UNKNOWN = "replace"  # what becomes of a character that the terminal's encoding lacks (LC_ALL=de_DE.ISO-8859-1): a question mark
_NO_UTF_8 = "backslashreplace"  # UTF-8 lacks none but the bytes of a file's name that are no UTF-8: an escape, which JSON has too
_DESCRIPTORS = {0: "stdin", 1: "stdout", 2: "stderr"}


class _Output:
    """What is known of this process's output.

    Attributes:
      stdout: A copy of the descriptor, which stays what it was at the beginning; None: nobody has begun.
      unread: Somebody wrote to it after its reader had gone.
    """

    stdout: int | None = None
    unread = False


_output = _Output()


def begin() -> None:
    """Looks at the output of a command that begins. What is closed goes to nowhere: the next file that is opened would take its place.

    A library's remarks would then stand in it, in a record of images say. And no command ends for a character that the output cannot show.
    """
    for descriptor, name in _DESCRIPTORS.items():
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, "w" if descriptor else "r", closefd=False))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors=_NO_UTF_8 if _takes_all(sys.stdout.encoding) else UNKNOWN)
    _output.stdout, _output.unread = os.dup(1), False


def _takes_all(encoding: str) -> bool:
    return codecs.lookup(encoding).name.startswith("utf")


def lost(descriptor: int, *, unread: bool = True) -> None:
    """From now on what is written to a descriptor goes to nowhere, and the command itself goes on.

    Args:
      descriptor: Its reader has gone.
      unread: False: not that, something else is wrong with it.
    """
    if unread and _output.stdout is not None and os.path.sameopenfile(descriptor, _output.stdout):
        _output.unread = True
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def ended_by_reader(error: BaseException | None) -> bool:
    """Tells whether an error goes back to a reader of stdout that has gone; click makes an exit of it, and of any broken connection."""
    while error is not None:
        if isinstance(error, OSError) and error.errno == errno.EPIPE:
            return _reader_is_gone()
        error = error.__cause__ or error.__context__
    return False


def end() -> bool:
    """Writes out what waits; tells whether somebody wrote to stdout after its reader had gone.

    Raises:
      OSError: The disk that stdout goes to is full. Messages that stderr does not take are lost.
    """
    try:
        for descriptor, stream in ((1, sys.stdout), (2, sys.stderr)):
            try:
                stream.flush()
            except OSError as error:
                unread = isinstance(error, BrokenPipeError)
                lost(descriptor, unread=unread)  # Python, which writes out what is left, would meet it once more
                if not unread and stream is sys.stdout:
                    raise named(error) from None
        return _output.unread
    finally:
        if _output.stdout is not None:
            os.close(_output.stdout)
            _output.stdout = None


def named(error: OSError) -> OSError:
    """Returns an error of writing to stdout as one that says so: by itself it names no file."""
    return OSError(error.errno, error.strerror, STDOUT)


def named_if_stdout(error: Exception) -> Exception:
    """Returns an error as `named` does if it comes of writing to stdout, which keeps what it could not write; else as it is."""
    if isinstance(error, OSError) and error.filename is None:
        try:
            sys.stdout.flush()
        except OSError as again:
            if again.errno == error.errno:
                lost(sys.stdout.fileno(), unread=False)  # else `end` would meet and tell it once more
                return named(again)
    return error


def _reader_is_gone() -> bool:
    if _output.stdout is None:
        return False
    looking = select.poll()
    looking.register(_output.stdout, 0)
    return any(event & select.POLLERR for _, event in looking.poll(0))
