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


@contextlib.contextmanager
def captured_output(log_file: Path) -> Iterator[tuple[TextIO, TextIO]]:
    """Redirects file descriptors 1 and 2, of libraries and child processes too, to a log file.

    Yields:
      (stdout, stderr): text streams that still reach the terminal.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    streams = tuple(os.fdopen(fd, "w", buffering=1, encoding=sys.stdout.encoding, closefd=False) for fd in saved)
    try:
        os.dup2(log, 1)
        os.dup2(log, 2)
        yield streams[0], streams[1]
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for stream, fd, original in zip(streams, saved, (1, 2), strict=True):
            stream.flush()
            os.dup2(fd, original)
            os.close(fd)
        os.close(log)


def log_to_stderr() -> None:
    """Sends Python's log records and warnings to file descriptor 2, which `captured_output` has made the log file."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr, force=True)
    warnings.simplefilter("default")
    logging.captureWarnings(True)
