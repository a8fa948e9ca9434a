"""Shows a run as it goes: which nodes run, for how long, and the epochs inside a trainer."""

from __future__ import annotations

import logging
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from cxr.core.progress import LOGGER, Step
from cxr.pipeline.local_runner import NodeResult

MARKS = {"done": "[green]✓[/green]", "cached": "[cyan]=[/cyan]", "failed": "[red]✗[/red]", "skipped": "[yellow]–[/yellow]"}
ERROR_LINES = 12
PLAIN_SECONDS = 20  # between two lines of the same node where the output is no terminal


class RunProgress(logging.Handler):
    """A Watcher with a bar for the run and one for every running node, with the step inside it; plain lines where there is no terminal."""

    def __init__(self, console: Console):
        super().__init__(logging.INFO)
        self._console = console
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._run = self._bars.add_task("run", total=None)
        self._nodes: dict[str, TaskID] = {}  # that run, in the order in which they began
        self._last_lines: dict[str, float] = {}  # node: when it last had a line

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

    def stage(self, name: str, number: int, total: int) -> None:
        """The next of some steps of which one follows the other begins, the `number`th of `total`; it ends the one before."""
        for node in list(self._nodes):
            self._forget(node)
        self.started(name, number, total)
        self._bars.update(self._run, completed=number - 1)

    def started(self, node_id: str, number: int, total: int) -> None:
        """See `Watcher`."""
        self._last_lines[node_id] = time.monotonic()
        self._nodes[node_id] = self._bars.add_task(f"  {node_id}", total=None)
        self._bars.update(self._run, total=total)

    def finished(self, result: NodeResult) -> None:
        """See `Watcher`."""
        note = {"cached": "from the cache", "skipped": f"needs {', '.join(result.roots)}", "failed": _shortened(result.error)}.get(
            result.state, ""
        )
        self._forget(result.node_id)
        self._bars.advance(self._run)
        line = Text.from_markup(f"{MARKS[result.state]} {result.node_id:<28} {result.seconds:7.1f} s  ")
        self._console.print(line.append(note, style="red" if result.state == "failed" else ""), highlight=False, soft_wrap=True)

    def emit(self, record: logging.LogRecord) -> None:
        """Takes the records that trainers log about their steps, in whichever thread."""
        step = getattr(record, "cxr", None)
        if not isinstance(step, Step):
            return
        node, text = step.node or next(reversed(self._nodes), ""), record.getMessage()
        if (bar := self._nodes.get(node)) is None:
            return
        self._bars.update(bar, description=f"  {node}: {text}", completed=step.done, total=step.total)
        if not self._console.is_terminal and time.monotonic() - self._last_lines[node] > PLAIN_SECONDS:
            self._last_lines[node] = time.monotonic()
            self._console.print(f"  {node}: {text} {step.done}/{step.total}", markup=False, highlight=False)

    def _forget(self, node_id: str) -> None:
        if (bar := self._nodes.pop(node_id, None)) is not None:
            self._bars.remove_task(bar)


def _shortened(text: str) -> str:
    """The first lines of an error; a library's can fill screens, and the log has them all."""
    lines = text.splitlines()
    return text if len(lines) <= ERROR_LINES else "\n".join([*lines[:ERROR_LINES], "… (the rest is in the log)"])
