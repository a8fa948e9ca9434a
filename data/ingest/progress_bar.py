"""Shows how many images are done, from the result files that the workers write."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cxr.data.ingest.outcomes import RESULTS, STARTED

POLL = 0.25  # seconds
PLAIN_INTERVAL = 10.0  # seconds between lines where there is no terminal


class LineCounter:
    """Counts the lines of all files in a folder, reading only what is new."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._offsets: dict[str, int] = {}
        self.lines = 0

    def update(self) -> int:
        """Returns the number of lines so far."""
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            if path.suffix != STARTED:
                continue
            with contextlib.suppress(FileNotFoundError), path.open("rb") as stream:  # it may have been renamed this moment
                stream.seek(self._offsets.get(path.name, 0))
                new = stream.read()
                self._offsets[path.name] = stream.tell()
                self.lines += new.count(b"\n")
        return self.lines


@contextlib.contextmanager
def counted(console: Console, text: str, total: int) -> Iterator[Callable[[int], None]]:
    """Shows progress while the block runs; what it yields is told how many more images are done."""
    bar, last, done = _bar(console, text), time.monotonic(), 0
    task = bar.add_task("images", total=total)

    def advance(images: int) -> None:
        nonlocal last, done
        done += images
        bar.update(task, advance=images)
        if not console.is_terminal and time.monotonic() - last >= PLAIN_INTERVAL:
            last = time.monotonic()
            console.print(f"{text}: {done} of {total}", highlight=False)

    with bar:
        yield advance


def _bar(console: Console, text: str) -> Progress:
    return Progress(
        TextColumn(text), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip


@contextlib.contextmanager
def shown(console: Console, out: Path, total: int) -> Iterator[None]:
    """Shows progress while the block runs: a bar on a terminal, else a line now and then."""
    counter, ended = LineCounter(out / RESULTS), threading.Event()
    bar = _bar(console, "reading images")
    task = bar.add_task("images", total=total)

    def watch() -> None:
        last = time.monotonic()
        while not ended.wait(POLL):
            done = min(counter.update(), total)
            bar.update(task, completed=done)
            if not console.is_terminal and time.monotonic() - last >= PLAIN_INTERVAL:
                last = time.monotonic()
                console.print(f"reading images: {done} of {total}", highlight=False)

    thread = threading.Thread(target=watch, daemon=True)
    with bar:
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
