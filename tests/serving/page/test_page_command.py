"""`cxr page` and `cxr serve --page` as a user runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from dicom_files import dicom_bytes
from processes import another_thread

MAIN = "from cxr.cli import page; import typer; app = typer.Typer(); page.register(app); app()"


@pytest.mark.slow
def test_nothing_of_a_file_reaches_disk_or_log(small_server: str, ask, tmp_path: Path) -> None:
    pixels = np.tile(np.arange(32, dtype=np.uint16), (20, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        odd = dicom_bytes(pixels, SpecificCharacterSet="JANE")  # pydicom remarks on that, and quotes it
    environment = {"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path), "HOME": str(tmp_path)}
    command = [sys.executable, "-c", MAIN, "--server", small_server, "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        page = type(ask)(json.loads(first)["address"])
        assert page.get("/api/models").status == 200
        for content, status in ((odd, 200), (odd[:-90], 422), (b"Jane Doe", 422)):
            assert page.post("/api/prediction?model=ensemble", content).status == status
            assert page.post("/api/picture", content).status == status
        process.send_signal(signal.SIGTERM)
        out, log = process.communicate(timeout=60)
    assert (process.returncode, out, log) == (0, "", "")
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.slow
def test_others_are_warned_of(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MAIN, "--host", "0.0.0.0", "--server", "models.example.org:8500", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("page on http://0.0.0.0:")
        os.kill(another_thread(process.pid), signal.SIGINT)
        _, log = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "asks for no password" in log
    assert "travel to models.example.org:8500 unencrypted" in log
