"""Shows a run as it goes: which node runs, for how long, and the epochs inside a trainer."""

from __future__ import annotations

import logging
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cxr.core.progress import LOGGER, Step
from cxr.pipeline.local_runner import NodeResult

MARKS = {"done": "[green]✓[/green]", "cached": "[cyan]=[/cyan]", "failed": "[red]✗[/red]", "skipped": "[yellow]–[/yellow]"}
ERROR_LINES = 12
PLAIN_SECONDS = 20  # between two lines of the same node where the output is no terminal


class RunProgress(logging.Handler):
    """A Watcher with a bar for the run and one for the step inside the running node; plain lines where there is no terminal."""

    def __init__(self, console: Console):
        super().__init__(logging.INFO)
        self._console = console
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._run = self._bars.add_task("run", total=None)
        self._step = self._bars.add_task("step", total=None, visible=False)
        self._node = ""
        self._last_line = 0.0

    def __enter__(self) -> RunProgress:
        logger = logging.getLogger(LOGGER)
        logger.addHandler(self)
        logger.setLevel(logging.INFO)
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bars.stop()
        logging.getLogger(LOGGER).removeHandler(self)

    def started(self, node_id: str, number: int, total: int) -> None:
        """See `Watcher`."""
        self._node = node_id
        self._last_line = time.monotonic()
        self._bars.update(self._run, description=node_id, completed=number - 1, total=total)
        self._bars.reset(self._step, visible=False, total=None)

    def finished(self, result: NodeResult) -> None:
        """See `Watcher`."""
        note = {"cached": "from the cache", "skipped": f"needs {', '.join(result.roots)}", "failed": _shortened(result.error)}.get(
            result.state, ""
        )
        self._bars.update(self._step, visible=False)
        self._console.print(f"{MARKS[result.state]} {result.node_id:<28} {result.seconds:7.1f} s", end="  ", markup=True, highlight=False)
        self._console.print(note, markup=False, highlight=False, style="red" if result.state == "failed" else "")

    def emit(self, record: logging.LogRecord) -> None:
        """Takes the records that trainers log about their steps."""
        step = getattr(record, "cxr", None)
        if not isinstance(step, Step):
            return
        text = record.getMessage()
        self._bars.update(self._step, description=text, completed=step.done, total=step.total, visible=True)
        if not self._console.is_terminal and time.monotonic() - self._last_line > PLAIN_SECONDS:
            self._last_line = time.monotonic()
            self._console.print(f"  {self._node}: {text} {step.done}/{step.total}", markup=False, highlight=False)


def _shortened(text: str) -> str:
    """The first lines of an error; a library's can fill screens, and the log has them all."""
    lines = text.splitlines()
    return text if len(lines) <= ERROR_LINES else "\n".join([*lines[:ERROR_LINES], "… (the rest is in the log)"])
