"""What Beam's workers say of an error that ends a job: nothing, since whoever runs the job is told; where nobody can be, they end it."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from apache_beam.runners.worker import sdk_worker

from cxr.core import exit_codes, unstarted_threads
from cxr.core.console import Console
from cxr.core.machine_faults import explained

_LOGGERS = (
    "apache_beam.runners.common",
    "apache_beam.runners.worker",
    "apache_beam.runners.portability.fn_api_runner.worker_handlers",
)
_ending = threading.Lock()  # held by the thread that ends the process


@contextmanager
def told_once() -> Iterator[None]:
    """While the block runs Beam's workers of this process neither print nor log the tracebacks that they answer with.

    Each thread would, and hundreds of lines would come before the one message of ours. And a worker prints before it answers: where the
    output is closed, or its disk full, that fails, nothing is answered, and the job waits for ever.

    It does so too where a thread of a worker ends because it could not start another one; and while it cleans up, whatever is raised in the
    thread that waits. Then the error is told and the process ended, with no more to clean up than after kill -9. What the calling thread
    itself raises for want of a thread is kept (`unstarted_threads.kept`).
    """
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    hook, threading.excepthook = threading.excepthook, _on_end_of_thread
    vars(sdk_worker)["print"] = _nothing  # in place of the built-in, for that module alone
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with unstarted_threads.kept():
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        vars(sdk_worker).pop("print", None)
        threading.excepthook = hook


def _on_end_of_thread(lost: threading.ExceptHookArgs) -> None:
    if not isinstance(lost.exc_value, Exception) or not unstarted_threads.is_cause(lost.exc_value):
        threading.__excepthook__(lost)
        return
    _ending.acquire()
    with suppress(OSError, ValueError):  # an output that is closed
        console = Console(stderr=True)
        console.show_cursor()
        console.print(f"error: {explained(lost.exc_value)}", style="red", highlight=False, soft_wrap=True)
        sys.stdout.flush()
    os._exit(exit_codes.FAILED)


def _nothing(*_: object, **__: object) -> None:
    """Takes what `print` takes."""
