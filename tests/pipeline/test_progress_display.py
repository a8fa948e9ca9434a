import io
import threading

import pytest
from rich.console import Console

from cxr.core import progress
from cxr.pipeline import progress_display
from cxr.pipeline.local_runner import NodeResult
from cxr.pipeline.progress_display import RunProgress


@pytest.fixture
def said(monkeypatch):
    monkeypatch.setattr(progress_display, "PLAIN_SECONDS", -1)
    stream = io.StringIO()
    with RunProgress(Console(file=stream, width=60)) as shown:
        yield shown, lambda: stream.getvalue().splitlines()


def test_steps_belong_to_the_node_that_made_them(said):
    shown, lines = said
    shown.started("Trainer-a", 1, 3)
    shown.started("Trainer-b", 2, 3)
    thread = threading.Thread(target=progress.report, args=("head [1]", 1, 60, "Trainer-a"))
    thread.start()
    thread.join()
    progress.report("features", 2, 9, "Trainer-b")
    progress.report("late", 1, 1, "Trainer-gone")
    shown.finished(NodeResult("Trainer-a", "done", 2.5))
    progress.report("features", 3, 9, "Trainer-b")
    assert lines() == [
        "  Trainer-a: head [1] 1/60",
        "  Trainer-b: features 2/9",
        f"✓ {'Trainer-a':<28} {2.5:7.1f} s  ",
        "  Trainer-b: features 3/9",
    ]


def test_how_nodes_ended(said):
    shown, lines = said
    shown.finished(NodeResult("A", "failed", 1, error="[no] " + "x" * 80))
    shown.finished(NodeResult("B", "skipped", roots=("A",)))
    shown.finished(NodeResult("C", "cached", 0.5))
    assert [line.split() for line in lines()] == [
        ["✗", "A", "1.0", "s", "[no]", "x" * 80],
        ["–", "B", "0.0", "s", "needs", "A"],
        ["=", "C", "0.5", "s", "from", "the", "cache"],
    ]


def test_a_stage_ends_the_one_before(said):
    shown, lines = said
    shown.stage("features of a", 1, 2)
    shown.stage("features of b", 2, 2)
    progress.report("images", 1, 5)
    assert lines() == ["  features of b: images 1/5"]
