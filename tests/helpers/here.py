"""`cxr` in the test's own process: its imports, and those of the fork server of its nodes, are paid for once."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from cxr.cli.main import main


def cxr(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs the console command: its exit code, and what it wrote to the file descriptors, as `subprocess.run` returns them."""
    words = ["cxr", *map(str, arguments)]
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    capfd.readouterr()
    code: object = 0
    try:
        with mock.patch.object(sys, "argv", words), mock.patch("cxr.core.imports.stop"):  # this process goes on
            main()
    except SystemExit as stop:
        code = stop.code
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    said = capfd.readouterr()
    assert code is None or isinstance(code, int), code
    return subprocess.CompletedProcess(words, code or 0, said.out, said.err)
