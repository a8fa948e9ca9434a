import io

from rich.console import Console

from cxr.data.ingest import progress_bar
from cxr.data.ingest.progress_bar import stages


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
