import os

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
