"""Ingest where the disk is full or read-only, and where it is told to end: what was there stays, and nothing half made is left."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_disk import SmallDisk, can_mount

from cxr.core import exit_codes, fingerprints
from cxr.core.errors import CxrError
from cxr.data.ingest.ingest import ingest
from cxr.data.ingest.ingest_config import Ingest

pytestmark = pytest.mark.seconds

CXR = Path(sys.executable).with_name("cxr")


@pytest.fixture
def disk(tmp_path):
    """A file system of its own at tmp_path/disk."""
    if not can_mount(tmp_path / "disk"):
        pytest.skip("a small file system can be mounted by root only")
    disk = SmallDisk(tmp_path / "disk")
    yield disk
    disk.remove()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (lambda disk: disk.full(), "No space left on device; make room there"),
        (lambda disk: disk.full(files=100), "No space left on device; make room there"),  # while it writes
        (lambda disk: disk.read_only(), "Read-only file system; mount it"),
    ],
    ids=["full", "filled up", "read-only"],
)
def test_a_disk_that_takes_nothing_leaves_the_records_as_they_were(disk, fault, words, source, tmp_path, key_file, console):
    out = tmp_path / "disk" / "records"
    dataset = ingest(source, out, Ingest(), key_file=key_file, console=console)
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    changed = Ingest(max_side=32)
    with fault(disk), pytest.raises(CxrError, match=words) as raised:
        ingest(source, out, changed, key_file=key_file, console=console, overwrite=True)
    assert str(tmp_path / "disk") in str(raised.value)
    assert "DOE" not in str(raised.value)
    assert {file: file.read_bytes() for file in out.rglob("*") if file.is_file()} == before
    assert {path.name for path in out.parent.iterdir()} <= {
        "records",
        "records.private",
    }  # and in this one what was read, for the next call
    assert ingest(source, out, Ingest(), key_file=key_file, console=console) == dataset  # up to date
    assert ingest(source, out, changed, key_file=key_file, console=console, overwrite=True).config == changed


@pytest.mark.parametrize("fault", [errno.EIO, errno.EMFILE, errno.ESTALE], ids=errno.errorcode.get)
def test_a_picture_that_the_machine_cannot_read_now_is_not_left_out(fault, source, tmp_path, key_file, console, monkeypatch, capfd):
    out, of_file, bad = tmp_path / "records", fingerprints.of_file, str(sorted(source.parent.glob("*.png"))[3])

    def failing(path):
        if path == bad:
            raise OSError(fault, os.strerror(fault), path)
        return of_file(path)

    monkeypatch.setattr(fingerprints, "of_file", failing)
    with pytest.raises(CxrError, match=f"{os.strerror(fault)}; .*then run the same command again") as raised:
        ingest(source, out, Ingest(workers=1), key_file=key_file, console=console)
    assert "DOE" not in str(raised.value)
    assert "Traceback" not in capfd.readouterr().err  # Beam's, a page for each thread
    assert not out.exists()
    monkeypatch.undo()
    assert ingest(source, out, Ingest(workers=1), key_file=key_file, console=console).rejects == 0


NO_THREAD = """
import sys, threading
from cxr.cli.main import main
start, name = threading.Thread.start, sys.argv.pop(1)
def fails(thread):
    if getattr(thread._target, "__name__", type(thread).__name__) == name:
        raise RuntimeError("can't start new thread")
    start(thread)
threading.Thread.start = fails
main()
"""  # as below `ulimit -v`, with a choice of the thread


@pytest.mark.parametrize("thread", ["_serve", "_Worker"])  # of a gRPC server, started by the main thread; of Beam's, started by another
def test_ingest_ends_where_a_thread_cannot_be_started(thread, source, tmp_path, key_file):
    command = [sys.executable, "-c", NO_THREAD, thread, "ingest", source, tmp_path / "records", "--key-file", key_file]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)  # it waited for ever
    assert ended.returncode == exit_codes.FAILED, ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("error: no more threads can be started: the memory is full, or a limit is reached;")
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "records").exists()


@pytest.mark.slow
def test_sigterm_ends_ingest_and_the_next_call_makes_the_records(source, tmp_path, key_file):
    command = [CXR, "ingest", source, tmp_path / "records", "--key-file", key_file]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        deadline = time.monotonic() + 180  # of its imports, mostly
        while not (tmp_path / ".records.partial").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        said = process.stderr.read()
        assert process.wait(60) == exit_codes.TERMINATED
    assert said.endswith("terminated (SIGTERM)\n")
    assert not (tmp_path / "records").exists()
    assert not (tmp_path / ".records.partial").exists()
    assert subprocess.run(command, capture_output=True).returncode == exit_codes.OK
    assert (tmp_path / "records" / "dataset.json").is_file()
