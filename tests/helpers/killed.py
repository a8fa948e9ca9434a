"""kill -9 between any two steps of what a function does to files."""

from __future__ import annotations

import io
import os
import signal
import stat
import sys
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any

_CALLS = {"open", "fsync", "mkdir", "rename", "replace", "link", "symlink", "unlink", "remove", "rmdir", "truncate"}
_METHODS = {"write", "writelines", "flush", "close", "truncate"}  # of files: what was not flushed is lost
_FILES = (io.BufferedWriter, io.BufferedRandom, io.TextIOWrapper)


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Does `work` in a process of its own, which is killed just before one of its steps; tells whether it came to that step.

    Args:
      step: From 0: opening, writing, flushing and closing files, renaming, linking, removing.
      work: Runs in a fork of this process.

    Raises:
      AssertionError: It failed by itself; the traceback is on stderr.
    """
    child = os.fork()
    if not child:
        code = 1
        try:
            sys.setprofile(_Killer(step))
            work()
            code = 0
        except BaseException:  # of the work: this is no test any more
            traceback.print_exc()
        finally:
            sys.setprofile(None)
            os._exit(code)
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert killed or os.waitstatus_to_exitcode(status) == 0, f"before step {step}: failed"
    return killed


class _Killer:
    """Counts the steps as Python is about to take them."""

    def __init__(self, step: int) -> None:
        self._left = step

    def __call__(self, frame: FrameType, event: str, function: Any) -> None:
        if event == "c_call" and _is_step(function):
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)
            self._left -= 1


def _is_step(function: Any) -> bool:
    if getattr(function, "__module__", None) in ("posix", "_io"):
        return function.__name__ in _CALLS
    file = getattr(function, "__self__", None)
    return function.__name__ in _METHODS and isinstance(file, _FILES) and _on_disk(file)


def _on_disk(file: io.BufferedWriter | io.BufferedRandom | io.TextIOWrapper) -> bool:
    try:
        return stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except (OSError, ValueError):  # a buffer in memory, a closed file
        return False
