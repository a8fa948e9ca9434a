"""Names and values of strangers on terminals, in logs and in spreadsheets."""

import csv
import io
import logging
import os

import pytest
from rich.progress import Progress
from rich.table import Table

from cxr.core.console import Console
from cxr.core.visible import OneLineFormatter, cells, one_line, visible


@pytest.mark.parametrize("text", ["\x1b[2J", "\x1b]0;title\x07", "a\rb", "\x9b31m", "a\u202egnp.exe", "\x7f", "a\u2028b", "a\udcff"])
def test_no_control_character_is_left(text):
    assert visible(text).isprintable()
    assert visible("Müller 日本 😀\n\tline") == "Müller 日本 😀\n\tline"
    assert one_line(text + "\nINFO done").isprintable()


def printed(*things, **options):
    out = io.StringIO()
    console = Console(file=out, width=200, **options)
    for thing in things:
        console.print(thing)
    return out.getvalue()


def test_the_console_shows_names_as_they_are():
    """Markup of rich's would colour them, hide them, or end the command with an error."""
    names = ["[red].png", "[/].png", "[bold]", "[link=file:///etc/passwd]x[/link]", "\x1b[31m.png", "\x1b]8;;http://x\x1b\\a"]
    table = Table("image")
    for name in names:
        table.add_row(name)
    for text in (printed(*names), printed(table), printed(*names, force_terminal=True, color_system="truecolor", highlight=False)):
        assert "\x1b" not in text
        assert all(visible(name) in text for name in names)


def test_the_console_still_colours_and_moves_its_own():
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, color_system="truecolor", width=80)
    console.print("plain", style="red")
    with Progress(console=console) as bars:
        bars.add_task("reading", total=2)
    assert "\x1b[31mplain\x1b[0m" in text.getvalue()
    assert "\x1b[?25l" in text.getvalue()  # hides the cursor


def test_a_log_record_is_one_line():
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(OneLineFormatter("%(levelname)s %(message)s"))
    logger = logging.Logger("strange")
    logger.addHandler(handler)
    logger.error("%s: load failed", "model\n2026-11-26 INFO all models available\x1b[8m")
    assert stream.getvalue() == "ERROR model\\n2026-11-26 INFO all models available\\x1b[8m: load failed\n"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r=", "\n=", "＝"])
def test_no_cell_is_computed(start):
    cell = f"{start}HYPERLINK(1)"
    assert cells([cell, "a.png"]) == [f"'{cell}", "a.png"]
    out = io.StringIO()
    csv.writer(out).writerow(cells([cell]))
    assert next(csv.reader(io.StringIO(out.getvalue(), newline="")))[0].startswith("'")


def test_bytes_of_names_that_are_no_utf_8_are_spelled_out():
    assert cells([os.fsdecode(b"\xff.png"), "\u00fc.png"]) == [r"\udcff.png", "\u00fc.png"]


def test_numbers_stay_numbers():
    assert cells(["-0.5", "+3", -1.5, "1e3", None, True]) == ["-0.5", "+3", -1.5, "1e3", None, True]
