"""Threads that the system did not start, for want of memory or under a limit (`ulimit -u`, `ulimit -v`): who waits for one waits for ever.

A gRPC server, Beam's among them, does so when it is freed: it waits for the thread that was to serve, in C, where no signal reaches it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

WORDS = "can't start new thread"  # Python's, in a RuntimeError, whatever the system's reason was
_errors: list[BaseException] = []  # their tracebacks hold what was to have a thread


def is_cause(error: BaseException | None) -> bool:
    """Tells whether an error goes back to a thread that was not started."""
    while error is not None:
        if isinstance(error, RuntimeError) and WORDS in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def kept() -> Iterator[None]:
    """Keeps what such an error of the block holds, so that this process never frees it; it then ends by `os._exit` only (`any_kept`)."""
    try:
        yield
    except BaseException as error:
        if is_cause(error):
            _errors.append(error)
        raise


def any_kept() -> bool:
    """Tells whether Python's own way to end, which frees all, would wait for ever."""
    return bool(_errors)
