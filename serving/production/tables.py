"""Status and history for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from cxr.serving.production.journal import APPLIED, Entry
from cxr.serving.production.overview import Row

_STYLES = {"AVAILABLE": "green", "LOADING": "cyan", "START": "cyan", "UNLOADING": "dim", "END": "dim"}


def status_table(rows: Sequence[Row]) -> Table:
    """Makes a table with one row per version."""
    table = Table(box=box.SIMPLE, pad_edge=False)
    for heading in ("server", "model", "version", "state", "labels", "policy", "problem"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        style = "red" if row.error else "yellow" if row.differs else _STYLES.get(row.state, "yellow")
        problems = "; ".join(filter(None, (row.error.partition("\n")[0], row.differs)))
        version = "" if row.version is None else str(row.version)
        cells = (
            row.server,
            row.model,
            version,
            Text(row.state, style),
            ", ".join(row.labels),
            row.policy,
            Text(problems, style),
        )
        table.add_row(*cells)
    return table


def history_table(entries: Sequence[Entry]) -> Table:
    """Makes a table with one row per change."""
    table = Table(title="changes", title_justify="left", box=box.SIMPLE, pad_edge=False)
    for heading in ("#", "time (UTC)", "user", "what", "from", "to", "outcome", "reason"):
        table.add_column(heading, overflow="fold")
    for entry in entries:
        what = f"{entry.action} {entry.model}" + (f" (undoes {entry.undoes})" if entry.undoes else "")
        outcome = Text(entry.outcome, "" if entry.outcome == APPLIED else "red")
        cells = (
            str(entry.id),
            entry.time[:16].replace("T", " "),
            entry.user,
            what,
            str(entry.before),
            str(entry.after),
            outcome,
            Text(entry.error or entry.reason),
        )
        table.add_row(*cells)
    return table
