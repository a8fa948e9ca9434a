"""What ingest tells its user: rejects, duplicates, the table at the end."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Table

from cxr.data.ingest import private_lists
from cxr.data.ingest.dataset import Dataset
from cxr.data.ingest.outcomes import Outcome
from cxr.data.ingest.private_lists import DUPLICATES, REJECTS
from cxr.data.ingest.rows import Row


@dataclass
class Tally:
    """Counts over all images, and the two lists."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    patients: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    rejects: list[Outcome] = field(default_factory=list)
    duplicates: list[list[tuple[str, Outcome]]] = field(default_factory=list)
    hashes: dict[int, str] = field(default_factory=dict)  # number of a row: hash of its file
    total: int = 0

    @property
    def reject_share(self) -> float:
        """Rejects over all files."""
        return len(self.rejects) / max(self.total, 1)

    @property
    def reject_reasons(self) -> dict[str, int]:
        """Returns reason: files, the most frequent first."""
        return dict(Counter(outcome.reason for outcome in self.rejects).most_common())

    def reasons(self) -> str:
        """Returns "12 truncated, 3 blank"."""
        return ", ".join(f"{count} {reason}" for reason, count in self.reject_reasons.items())

    def warnings(self) -> list[str]:
        """What is suspicious about the duplicates."""
        found = []
        for what, key in (
            ("labels", lambda split, outcome: outcome.label),
            ("patients", lambda split, outcome: outcome.patient),
            ("splits", lambda split, outcome: split),
        ):
            torn = sum(len({key(*copy) for copy in copies}) > 1 for copies in self.duplicates)
            if torn:
                found.append(f"{torn} pictures stand under several {what} ({DUPLICATES})")
        return found


def tally(outcomes: Iterable[tuple[str, Outcome]]) -> Tally:
    """Adds up what became of the images."""
    result = Tally()
    by_hash: dict[str, list[tuple[str, Outcome]]] = defaultdict(list)
    for split, outcome in outcomes:
        result.total += 1
        result.hashes[outcome.number] = outcome.file_hash
        if outcome.reason:
            result.rejects.append(outcome)
            continue
        result.counts[split, outcome.label] += 1
        result.patients[split].add(outcome.patient)
        by_hash[outcome.content_hash].append((split, outcome))
    result.rejects.sort(key=lambda outcome: outcome.number)
    result.duplicates = [sorted(copies, key=lambda copy: copy[1].number) for copies in by_hash.values() if len(copies) > 1]
    return result


def write_rejects(result: Tally, rows: Mapping[int, Row], out: Path, name: str = REJECTS) -> Path | None:
    """Writes the files that are left out into the private folder; returns the list, None where there is none.

    Raises:
      OSError: It cannot be written.
    """
    header = ("where", "path", "reason", "detail")
    lines = [(rows[o.number].where, rows[o.number].name, o.reason, o.detail) for o in result.rejects]
    return private_lists.write(out, name, header, lines)


def write_duplicates(result: Tally, rows: Mapping[int, Row], out: Path) -> Path | None:
    """Writes the pictures that stand under several paths into the private folder; returns the list, None where there is none.

    Nothing in it leads to a record: patients are numbered within each picture, in place of their pseudonyms.

    Raises:
      OSError: It cannot be written.
    """
    lines = []
    for picture, copies in enumerate(sorted(result.duplicates, key=lambda copies: copies[0][1].number), 1):
        patients = list(dict.fromkeys(outcome.patient for _, outcome in copies))
        for split, o in copies:
            row = rows[o.number]
            lines.append((picture, row.where, row.name, split, o.label, patients.index(o.patient) + 1))
    return private_lists.write(out, DUPLICATES, ("picture", "where", "path", "split", "label", "patient"), lines)


def table(dataset: Dataset) -> Table:
    """Returns split × class, with totals."""
    title = f"{dataset.images} images" + (" (synthetic)" if dataset.synthetic else "")
    result = Table(title=title, title_justify="left")
    result.add_column("split")
    for name in (*dataset.class_names, "images", "patients"):
        result.add_column(name, justify="right")
    for split in dataset.splits:
        counts = [dataset.counts[split][name] for name in dataset.class_names]
        result.add_row(split, *map(str, counts), str(sum(counts)), str(dataset.patients[split]))
    totals = [sum(dataset.counts[split][name] for split in dataset.splits) for name in dataset.class_names]
    result.add_section()
    result.add_row("all", *map(str, totals), str(sum(totals)), str(sum(dataset.patients.values())))
    return result


def remarks(dataset: Dataset, out: Path) -> list[str]:
    """Returns lines to print below the table of the records in `out`."""
    lists, lines = private_lists.folder_of(out), []
    if dataset.rejects:
        reasons = ", ".join(f"{count} {reason}" for reason, count in dataset.reject_reasons.items())
        lines.append(f"{dataset.rejects} files left out ({reasons}): {lists / REJECTS}")
    if dataset.duplicates:
        lines.append(f"{dataset.duplicates} pictures under more than one path: {lists / DUPLICATES}")
    if dataset.own_patients:
        lines.append(f"{dataset.own_patients} images without a patient id: each counts as a patient of its own")
    return lines
