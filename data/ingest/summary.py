"""What ingest tells its user: rejects, duplicates, the table at the end."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Table

from cxr.data.ingest.dataset import DUPLICATES, REJECTS, Dataset
from cxr.data.ingest.outcomes import Outcome


@dataclass
class Tally:
    """Counts over all images, and the two lists."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    patients: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    rejects: list[Outcome] = field(default_factory=list)
    duplicates: list[list[tuple[str, Outcome]]] = field(default_factory=list)
    total: int = 0

    @property
    def reject_share(self) -> float:
        """Rejects over all files."""
        return len(self.rejects) / max(self.total, 1)

    def reasons(self) -> str:
        """Returns "12 truncated, 3 blank"."""
        return ", ".join(f"{count} {reason}" for reason, count in Counter(outcome.reason for outcome in self.rejects).most_common())

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
        if outcome.reason:
            result.rejects.append(outcome)
            continue
        result.counts[split, outcome.label] += 1
        result.patients[split].add(outcome.patient)
        by_hash[outcome.content_hash].append((split, outcome))
    result.duplicates = [copies for copies in by_hash.values() if len(copies) > 1]
    return result


def write_lists(result: Tally, folder: Path) -> None:
    """Writes rejects.csv and duplicates.csv (also when there are none)."""
    with (folder / REJECTS).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("path", "reason", "detail"))
        writer.writerows((o.name, o.reason, o.detail) for o in sorted(result.rejects, key=lambda o: o.name))
    with (folder / DUPLICATES).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("content_hash", "path", "split", "label", "patient_id"))
        for copies in sorted(result.duplicates, key=lambda copies: copies[0][1].name):
            writer.writerows((o.content_hash, o.name, split, o.label, o.patient) for split, o in copies)


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


def remarks(dataset: Dataset) -> list[str]:
    """Returns lines to print below the table."""
    lines = []
    if dataset.rejects:
        lines.append(f"{dataset.rejects} files left out: {REJECTS}")
    if dataset.duplicates:
        lines.append(f"{dataset.duplicates} pictures under more than one path: {DUPLICATES}")
    if dataset.own_patients:
        lines.append(f"{dataset.own_patients} images without a patient id: each counts as a patient of its own")
    return lines
