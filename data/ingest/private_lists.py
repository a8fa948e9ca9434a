"""Lists that name files: paths may hold patients' names, so they lie beside the records, never among them, for their owner's eyes only."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from cxr.core.durable import remove_drafts, replace_text
from cxr.core.errors import CxrError
from cxr.core.visible import csv_text
from cxr.data.ingest.rows import Row

REJECTS = "rejects.csv"  # files that cannot be used
REJECT_COLUMNS = ("where", "path", "reason", "detail")
DUPLICATES = "duplicates.csv"
NOT_FRONTAL = "not_frontal.csv"  # what may be no frontal chest X-ray
CONFLICTS = "conflicts.csv"  # the same radiograph under several labels
PROBLEMS = "problems.csv"  # rows that an error is about
PROBLEM_COLUMNS = ("where", "path", "why")
SHOWN = 5  # how many rows an error lists


class BadRows(CxrError):
    """An error about rows of the source. Its text says where they stand; their paths are for `problems.csv`."""

    def __init__(self, text: str, rows: Sequence[Row], places: Iterable[str] | None = None, reasons: Sequence[str] = ()):
        """Args: what is wrong and the remedy; the rows; what to show of each (`where` by default); what is wrong with each (text)."""
        listed = list(places if places is not None else (row.where for row in rows))
        super().__init__(text + shown(listed))
        self.rows = tuple(rows)
        self.reasons = tuple(reasons) or (text.removesuffix(":"),) * len(rows)


def shown(places: Sequence[str], whole: Path | None = None) -> str:
    """Returns the lines below an error: the first SHOWN places, and how many more there are.

    Args:
      places: A text for each, without paths.
      whole: Where all of them are listed with their paths; None: nowhere, or not yet.
    """
    more = f"\n  and {len(places) - SHOWN} more" if len(places) > SHOWN else ""
    return "".join(f"\n  {place}" for place in places[:SHOWN]) + more + (f"\n{whole_list(whole)}" if whole else "")


def whole_list(path: Path) -> str:
    """Returns the line that says where a list is."""
    return f"all of them with their paths: {path}"


def folder_of(out: Path) -> Path:
    """Returns the folder of the lists that belong to an output folder."""
    return out.with_name(f"{out.name}.private")


def write(out: Path, name: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> Path | None:
    """Writes a list, readable by its owner only; without rows it removes an older one.

    Returns:
      The list, or None where there is none.

    Raises:
      OSError: It cannot be written.
    """
    folder = folder_of(out)
    if not rows:
        forget(out, name)
        return None
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace_text(folder / name, csv_text([header, *rows]), 0o600)
    return folder / name


def forget(out: Path, name: str) -> None:
    """Removes a list, and the folder where it holds nothing else.

    Raises:
      OSError: It cannot be removed.
    """
    folder = folder_of(out)
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        (folder / name).unlink()
    remove_drafts(folder / name)  # they name files too
    with contextlib.suppress(OSError):  # not there, or it holds another list
        folder.rmdir()


def write_problems(out: Path, error: BadRows) -> str:
    """Writes the rows of an error; returns the line that says where the list is, empty where it cannot be written."""
    try:
        listed = [(row.where, row.name, reason) for row, reason in zip(error.rows, error.reasons, strict=True)]
        path = write(out, PROBLEMS, PROBLEM_COLUMNS, listed)
    except OSError:
        return ""
    return f"\n{whole_list(path)}" if path else ""
