import os
import threading

import pytest

from cxr.pipeline import node_output


@pytest.fixture
def marked(tmp_path):
    def write(*chunks):
        with open(tmp_path / "log", "ab") as log:
            output = node_output.MarkedOutput("Trainer", log.fileno())
        for chunk in chunks:
            os.write(output.write, chunk)
        output.close()
        output.wait(10)
        return (tmp_path / "log").read_bytes()

    return write


def test_each_line_is_marked_once(marked):
    assert marked(b"one\ntw", b"o\n\nthree") == b"[Trainer] one\n[Trainer] two\n[Trainer] \n[Trainer] three\n"


def test_a_line_without_end_is_cut(marked, monkeypatch):
    monkeypatch.setattr(node_output, "_LONGEST", 3)
    assert marked(b"abcdef").replace(b"[Trainer] ", b"").replace(b"\n", b"") == b"abcdef"


def test_no_descriptor_is_left_open(marked):
    before = os.listdir("/proc/self/fd")
    marked(b"one\n")
    assert os.listdir("/proc/self/fd") == before


def test_a_log_on_a_full_disk_does_not_hold_the_process():
    """What it writes is lost, and no more than a pipe holds would be taken from it."""
    with open("/dev/full", "wb", buffering=0) as full:
        output = node_output.MarkedOutput("Trainer", full.fileno())
    done = threading.Event()

    def write():
        for _ in range(100):
            os.write(output.write, b"a line\n" * 1000)
        done.set()

    threading.Thread(target=write, daemon=True).start()
    assert done.wait(30)
    output.close()
    output.wait(10)
