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
import multiprocessing.resource_tracker
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Generic, TypeVar

from cxr.core import main_module, progress
from cxr.core.process_usage import KIB, cpu_seconds, peak_memory
from cxr.core.signals import reach_main_thread
from cxr.core.termination import end_with_parent
from cxr.pipeline.node_output import MarkedOutput
from cxr.pipeline.output_capture import log_to

Result = TypeVar("Result")

_OUTPUT = (1, 2)  # file descriptors
_PATIENCE = 20  # seconds that an interrupted process gets to end by itself
_OUTPUT_PATIENCE = 5  # seconds for the last lines of a process that has ended
_AGAIN = 0.5  # seconds until a process that has ended is known to have
_LOOK_SECONDS = 0.5  # between two looks at the memory of a process, which may be killed for it
_MEMORY = "most likely because the memory was full: see `dmesg`"
_children = threading.Lock()  # multiprocessing looks for ended processes, of all threads, whenever it starts one


class ProcessDied(RuntimeError):
    """The process ended without an answer.

    Attributes:
      peak_memory: bytes that it was seen to have at once; 0: not seen.
    """

    def __init__(self, message: str, peak_memory: int) -> None:
        super().__init__(message)
        self.peak_memory = peak_memory


@dataclass(frozen=True)
class Answer(Generic[Result]):
    """What a call gives.

    Attributes:
      value: that the function returned.
      peak_memory: bytes that the largest process of the call, it or one that it started, had resident at once.
      cpu_seconds: processor time of all its processes.
    """

    value: Result
    peak_memory: int
    cpu_seconds: float


@dataclass(frozen=True)
class _Reported:
    text: str
    step: progress.Step


@dataclass(frozen=True)
class _Returned:
    value: Any
    peak_memory: int
    cpu_seconds: float


def start_fork_server() -> None:
    """Starts the process that the others are forked from, unless it runs; it imports TFX while the caller goes on.

    Ctrl-C and the end of the terminal, which are told to all, are held back from it until it has imported all (node_imports.py) and
    ignores them.
    """
    multiprocessing.set_forkserver_preload(["cxr.pipeline.node_imports"])
    multiprocessing.resource_tracker.ensure_running()  # would let it through again
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        multiprocessing.forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def measured_call(
    function: Callable[..., Result], *arguments: object, name: str = "", given_up: threading.Event | None = None
) -> Answer[Result]:
    """Calls a function in a process of its own; the progress that it reports is reported here, and its output goes where ours goes now.

    Several threads may call at once. The process has a folder of its own for temporary files, which goes with it.

    Args:
      function: It, its arguments and its result can be pickled. It handles its own errors.
      *arguments: Its arguments.
      name: Of the node: its progress carries it, and so does each line that it writes. Empty: neither does.
      given_up: Once set, the process gets a little time to end by itself, and is killed.

    Raises:
      ProcessDied: The process was killed, or crashed, or could not begin: temporary files can be made no more.
      KeyboardInterrupt: Somebody interrupted, or gave up; the process is gone.
    """
    # TensorFlow and Beam leave files where temporary ones are made: they remove theirs when Python exits, and a forked process does not.
    try:
        scratch = tempfile.TemporaryDirectory(prefix="cxr-node-", ignore_cleanup_errors=True)
    except OSError as error:
        raise ProcessDied(_no_temporary_files(error), 0) from None
    with scratch as folder:
        return _called(folder, function, arguments, name, given_up)


def _called(
    scratch: str, function: Callable[..., Result], arguments: tuple[object, ...], name: str, given_up: threading.Event | None
) -> Answer[Result]:
    context = multiprocessing.get_context("forkserver")
    answers, theirs = context.Pipe(duplex=False)
    marked = MarkedOutput(name, _OUTPUT[-1]) if name else None
    # The fork server keeps the output of the call that started it: a notebook's first run.
    output = [Connection(os.dup(marked.write if marked else descriptor), readable=False) for descriptor in _OUTPUT]
    process = context.Process(target=_main, args=(theirs, output, scratch, function, arguments))
    try:
        _start(process, given_up)
    except BaseException:
        answers.close()
        raise
    finally:
        for sent in (theirs, *output):
            sent.close()
        if marked:
            marked.close()
    seen = 0
    try:
        while True:
            heard = answers.poll(_LOOK_SECONDS)
            if given_up and given_up.is_set():
                raise KeyboardInterrupt
            if not heard:
                seen = _peak_of(process.pid) or seen
                continue
            answer = answers.recv()
            if isinstance(answer, _Returned):
                return Answer(answer.value, answer.peak_memory, answer.cpu_seconds)
            if isinstance(answer, KeyboardInterrupt):
                raise answer
            progress.report(answer.text, answer.step.done, answer.step.total, name)
    except EOFError:
        _join(process)
        raise ProcessDied(_cause_of_death(process.exitcode), seen) from None
    finally:
        if not _join(process, _PATIENCE):  # a terminal interrupts it together with us
            process.kill()
            _join(process)
        answers.close()
        if marked:
            marked.wait(_OUTPUT_PATIENCE)


def _start(process: multiprocessing.process.BaseProcess, given_up: threading.Event | None) -> None:
    """Starts a process. What it is forked from may have been killed, while it imported TFX say: that is started anew, once.

    Raises:
      ProcessDied: It was killed again, or is reached no more.
      KeyboardInterrupt: Somebody gave up meanwhile.
    """
    for _ in range(2):
        start_fork_server()
        try:
            with _children, main_module.left_out():
                process.start()
            return
        except FileNotFoundError as error:  # its socket, a temporary file, was removed
            raise ProcessDied(_no_temporary_files(error), 0) from None
        except (EOFError, ConnectionError):
            if given_up and given_up.is_set():
                raise KeyboardInterrupt from None
            time.sleep(_AGAIN)
    raise ProcessDied(f"the process that it is forked from was killed twice, {_MEMORY}; fewer nodes at once need less (--jobs 1)", 0)


def _no_temporary_files(error: OSError) -> str:
    return (
        f"{tempfile.gettempdir()}: {error.strerror}; the run's temporary files lie there: was the folder removed while the run went on? "
        "Run again, where needed with TMPDIR=FOLDER before the command, which puts them elsewhere"
    )


def _join(process: multiprocessing.process.BaseProcess, seconds: float | None = None) -> bool:
    """Waits until a process has ended; tells whether it has. Of two threads that ask for its exit code at once one gets a wrong one."""
    ended = bool(multiprocessing.connection.wait([process.sentinel], seconds))
    if ended:
        with _children:
            process.join()
    return ended


def _main(
    answers: Connection, output: list[Connection], scratch: str, function: Callable[..., object], arguments: tuple[object, ...]
) -> None:
    for ours, descriptor in zip(output, _OUTPUT, strict=True):
        os.dup2(ours.fileno(), descriptor)
        ours.close()
    os.environ["TMPDIR"] = tempfile.tempdir = scratch
    reach_main_thread()
    end_with_parent()  # a run that is killed must not leave a node behind that writes beside the next run's
    log_to(sys.stderr)  # file descriptor 2, the log
    logger = logging.getLogger(progress.LOGGER)
    logger.addHandler(_Sender(answers))
    logger.setLevel(logging.INFO)
    try:
        value = function(*arguments)
        answers.send(_Returned(value, peak_memory(), cpu_seconds()))
    except KeyboardInterrupt as interrupt:
        answers.send(interrupt)


def _peak_of(pid: int | None) -> int:
    """Of a process that runs, bytes; 0 where it is gone, or where the system does not say."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * KIB for line in lines if line.startswith("VmHWM:")), 0)


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
        return f"its process was killed (SIGKILL), {_MEMORY}; smaller batches or images need less"
    if code == -signal.SIGABRT:
        return "its process crashed (SIGABRT), as libraries do that get no memory: see the log; smaller batches or images need less"
    if code is not None and code < 0:
        return f"its process crashed ({signal.Signals(-code).name}); the log shows its last words"
    return f"its process ended with code {code} and no answer; the log shows its last words"
