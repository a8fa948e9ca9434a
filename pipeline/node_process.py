"""Calls a function in a process of its own, forked from one that has imported TFX and done nothing else.

TensorFlow and TFMA give little of their memory back (graphs, weights, a GPU's): in one process a run of four models would need the sum of
all its nodes. A node that the kernel kills for its memory fails alone. And a fork takes a tenth of a second where a fresh process takes ten
for its imports; the fork server has neither threads nor a TensorFlow session that a fork could break.
"""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.connection
import multiprocessing.forkserver
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from cxr.core import progress
from cxr.pipeline.output_capture import log_to

Result = TypeVar("Result")

# What the nodes import. A module that cannot be imported says so in the node that needs it.
_PRELOADED = [
    "cxr.pipeline.local_runner",
    "cxr.components.ensemble_trainer.component",
    "cxr.components.infra_check.component",
    "cxr.components.pusher.component",
    "cxr.trainer.run_fn",
    "keras.applications",
    "tfx.components.evaluator.executor",
    "tfx.components.transform.executor",
]
_PATIENCE = 20  # seconds that an interrupted process gets to end by itself


class ProcessDied(RuntimeError):
    """The process ended without an answer."""


@dataclass(frozen=True)
class _Reported:
    text: str
    step: progress.Step


@dataclass(frozen=True)
class _Returned:
    value: Any


def start_fork_server() -> None:
    """Starts the process that the others are forked from, unless it runs; it imports TFX while the caller goes on.

    What it and they write goes where the caller's output goes at this moment.
    """
    multiprocessing.set_forkserver_preload(_PRELOADED)
    multiprocessing.forkserver.ensure_running()


def call(function: Callable[..., Result], *arguments: object) -> Result:
    """Calls a function in a process of its own; the progress that it reports is reported here.

    Args:
      function: It, its arguments and its result can be pickled. It handles its own errors.
      *arguments: Its arguments.

    Raises:
      ProcessDied: The process was killed, or crashed.
      KeyboardInterrupt: Somebody interrupted; the process is gone.
    """
    start_fork_server()
    context = multiprocessing.get_context("forkserver")
    answers, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_main, args=(theirs, function, arguments))
    process.start()
    theirs.close()
    try:
        while True:
            answer = answers.recv()
            if isinstance(answer, _Returned):
                return answer.value
            if isinstance(answer, KeyboardInterrupt):
                raise answer
            progress.report(answer.text, answer.step.done, answer.step.total)
    except EOFError:
        process.join()
        raise ProcessDied(_cause_of_death(process.exitcode)) from None
    finally:
        process.join(_PATIENCE)  # a terminal interrupts it together with us
        process.kill()
        process.join()
        answers.close()


def _main(answers: Connection, function: Callable[..., object], arguments: tuple[object, ...]) -> None:
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    log_to(sys.stderr)  # file descriptor 2, the log
    logger = logging.getLogger(progress.LOGGER)
    logger.addHandler(_Sender(answers))
    logger.setLevel(logging.INFO)
    try:
        answers.send(_Returned(function(*arguments)))
    except KeyboardInterrupt as interrupt:
        answers.send(interrupt)


def _end_with_parent() -> None:
    """A run that is killed must not leave a node behind that writes beside the next run's."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)


class _Sender(logging.Handler):
    """Sends the records that carry a `Step` to the parent."""

    def __init__(self, answers: Connection):
        super().__init__(logging.INFO)
        self._answers = answers

    def emit(self, record: logging.LogRecord) -> None:
        step = getattr(record, "cxr", None)
        if isinstance(step, progress.Step):
            self._answers.send(_Reported(record.getMessage(), step))


def _cause_of_death(code: int | None) -> str:
    if code == -signal.SIGKILL:
        return "its process was killed (SIGKILL), most likely because the memory was full: see `dmesg`; smaller batches or images need less"
    if code is not None and code < 0:
        return f"its process crashed ({signal.Signals(-code).name}); the log shows its last words"
    return f"its process ended with code {code} and no answer; the log shows its last words"
