import errno
import io
import threading

from rich.console import Console

from cxr.data.ingest import progress_bar
from cxr.data.ingest.progress_bar import LineCounter, shown, stages


def test_stages_in_bytes_and_in_images_without_a_terminal(monkeypatch):
    monkeypatch.setattr(progress_bar, "PLAIN_INTERVAL", 0.0)
    stream = io.StringIO()
    console = Console(file=stream, width=100)
    with stages(console, "") as begin:
        download, unknown = begin("downloading", 5_000_000, in_bytes=True), begin("looking", None)
        download(2_000_000)
        unknown(3)
        download(-500_000)  # begun anew
    lines = stream.getvalue().splitlines()
    assert lines[-3:] == ["downloading: 2.0 MB of 5.0 MB", "looking: 3", "downloading: 1.5 MB of 5.0 MB"]


def test_on_a_terminal_the_stage_that_goes_on_is_shown():
    stream = io.StringIO()
    console = Console(file=stream, width=100, force_terminal=True)
    with stages(console, "") as begin:
        first, second = begin("first", 10), begin("second", 2_000_000, in_bytes=True)
        second(1_000_000)
        first(4)
    shown = stream.getvalue()
    assert "4/10" in shown.rsplit("first", 1)[1]
    assert "second" not in shown.rsplit("first", 1)[1]


def test_a_look_that_fails_is_no_end_of_the_bar(tmp_path, monkeypatch):
    """Too many files are open at once, now and then: the bar goes on, and its thread does not end in a traceback."""
    monkeypatch.setattr(progress_bar, "POLL", 0.001)
    monkeypatch.setattr(progress_bar, "PLAIN_INTERVAL", 0.0)
    looks, told = iter([0, OSError(errno.EMFILE, "Too many open files"), 3]), threading.Event()

    def update(counter):
        found = next(looks, None)
        if isinstance(found, OSError):
            raise found
        if found is None:
            told.set()
        return 3 if found is None else found

    monkeypatch.setattr(LineCounter, "update", update)
    stream = io.StringIO()
    with shown(Console(file=stream, width=100), tmp_path, 5):
        assert told.wait(60)
    assert "reading images: 3 of 5" in stream.getvalue()
