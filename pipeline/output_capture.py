"""Sends the noise of TFX, Beam and TensorFlow to a log file while the terminal stays ours."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from cxr.core.output import UNKNOWN


@contextlib.contextmanager
def captured_output(log_file: Path) -> Iterator[tuple[TextIO, TextIO]]:
    """Redirects file descriptors 1 and 2, of libraries and child processes too, and Python's log records and warnings to a log file.

    Afterwards all of it is as it was: a notebook that called a run goes on with its own output.

    Yields:
      (stdout, stderr): text streams that still reach the terminal.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    streams = tuple(os.fdopen(fd, "w", buffering=1, encoding=sys.stdout.encoding, errors=UNKNOWN, closefd=False) for fd in saved)
    try:
        os.dup2(log, 1)
        os.dup2(log, 2)
        with _logging_restored():
            # Not sys.stderr: in a notebook that is no file descriptor.
            log_to(os.fdopen(log, "w", buffering=1, encoding="utf-8", closefd=False))
            yield streams[0], streams[1]
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for stream, fd, original in zip(streams, saved, (1, 2), strict=True):
            stream.flush()
            os.dup2(fd, original)
            os.close(fd)
        os.close(log)


def log_to(stream: TextIO) -> None:
    """Sends Python's log records and warnings to a stream, and to no other."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=stream, force=True)
    warnings.simplefilter("default")
    logging.captureWarnings(True)


@contextlib.contextmanager
def _logging_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()  # `force` would close them
    with warnings.catch_warnings():
        try:
            yield
        finally:
            logging.captureWarnings(False)
            root.handlers[:] = handlers
            root.setLevel(level)
