"""Shows how many images are done: from the indices that the workers write, or as the work itself says."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from cxr.data.ingest.staged import INDEX

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
        for path in self._folder.glob(f"*{INDEX}"):
            with path.open("rb") as stream:
                stream.seek(self._offsets.get(path.name, 0))
                new = stream.read()
                self._offsets[path.name] = stream.tell()
                self.lines += new.count(b"\n")
        return self.lines


class Begin(Protocol):
    """Begins a stage; returns what is told how much more is done."""

    def __call__(self, name: str, total: int | None, *, in_bytes: bool = False) -> Callable[[int], None]:
        """Args: what is done; how much it takes, None where not known; whether that is bytes."""


@contextlib.contextmanager
def stages(console: Console, title: str) -> Iterator[Begin]:
    """Shows the progress of work that knows itself how far it is; of several stages, the one that went on last.

    What it yields is told each stage's name and how much it takes, and returns what is told how much more is done.
    """
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), _AmountColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip

    def begin(name: str, total: int | None, *, in_bytes: bool = False) -> Callable[[int], None]:
        current, last, done = bar.add_task(title + name, total=total, in_bytes=in_bytes), time.monotonic(), 0

        def advance(more: int) -> None:
            nonlocal last, done
            done += more
            for task in bar.tasks:
                bar.update(task.id, visible=task.id == current)
            bar.update(current, advance=more)
            if not console.is_terminal and time.monotonic() - last >= PLAIN_INTERVAL:
                last = time.monotonic()
                amounts = [decimal(amount) if in_bytes else str(amount) for amount in (done, total) if amount is not None]
                console.print(f"{title}{name}: {' of '.join(amounts)}", highlight=False)

        advance(0)
        return advance

    with bar:
        yield begin


class _AmountColumn(ProgressColumn):
    """Images or bytes."""

    def __init__(self) -> None:
        super().__init__()
        self._images, self._bytes = MofNCompleteColumn(), DownloadColumn()

    def render(self, task: Task) -> Text:
        return (self._bytes if task.fields.get("in_bytes") else self._images).render(task)


@contextlib.contextmanager
def shown(console: Console, folder: Path, total: int) -> Iterator[None]:
    """Shows progress while the block runs, by the lines that come into a folder: a bar on a terminal, else a line now and then."""
    counter, ended = LineCounter(folder), threading.Event()
    before = counter.update()

    def watch(advance: Callable[[int], None]) -> None:
        done = 0
        while not ended.wait(POLL):
            with contextlib.suppress(OSError):  # too many open files, say: if it lasts, the workers meet it too, and it is told once
                now = min(counter.update() - before, total)  # a second attempt of a worker counts again
                advance(now - done)
                done = now

    with stages(console, "") as begin:
        thread = threading.Thread(target=watch, args=(begin("reading images", total),), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
