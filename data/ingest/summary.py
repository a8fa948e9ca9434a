"""What ingest tells its user: rejects, duplicates, the table at the end."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from rich.table import Table
from scipy.cluster.hierarchy import DisjointSet

from cxr.core.counts import how_many
from cxr.core.intervals import NONE
from cxr.data.ingest import patient_ids, private_lists
from cxr.data.ingest.dataset import Dataset
from cxr.data.ingest.outcomes import Outcome, Outcomes
from cxr.data.ingest.private_lists import CONFLICTS, DUPLICATES, NOT_FRONTAL, REJECT_COLUMNS, REJECTS
from cxr.data.ingest.rows import Row
from cxr.data.ingest.where import left_out


@dataclass
class Tally:
    """Counts over all images, and the three lists.

    Attributes:
      patients: By split and class.
      duplicates: For each radiograph that stands under several paths: split and outcome of each.
      against: What speaks against a frontal chest X-ray: numbers of the rows.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    patients: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    rejects: list[Outcome] = field(default_factory=list)
    duplicates: list[list[tuple[str, Outcome]]] = field(default_factory=list)
    against: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
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

    @property
    def doubts(self) -> dict[str, int]:
        """Returns what speaks against a frontal chest X-ray: images, the most frequent first."""
        return dict(Counter({text: len(numbers) for text, numbers in self.against.items()}).most_common())

    @property
    def exact_duplicates(self) -> int:
        """Pictures that stand under more than one path, to the pixel the same."""
        return sum(count > 1 for copies in self.duplicates for count in _hashes(copies).values())

    @property
    def near_duplicates(self) -> int:
        """Radiographs that stand under more than one path, in copies that differ."""
        return sum(len(_hashes(copies)) > 1 for copies in self.duplicates)

    def warnings(self) -> list[str]:
        """What is suspicious about the images and the duplicates."""
        found = []
        if self.against:
            doubted, why = sum(self.doubts.values()), "; ".join(f"{text}: {count}" for text, count in self.doubts.items())
            images = how_many(doubted, "image may be no frontal chest X-ray", "images may be no frontal chest X-rays")
            found.append(f"{images} ({why}), see {NOT_FRONTAL}")
        for what, key in (
            ("labels", lambda split, outcome: outcome.label),
            ("patients", lambda split, outcome: outcome.patient),
            ("splits", lambda split, outcome: split),
        ):
            torn = sum(len({key(*copy) for copy in copies}) > 1 for copies in self.duplicates)
            if torn:
                found.append(f"{how_many(torn, 'picture stands', 'pictures stand')} under several {what} ({DUPLICATES})")
        return found


def _hashes(copies: Iterable[tuple[str, Outcome]]) -> Counter[str]:
    return Counter(outcome.content_hash for _, outcome in copies)


def tally(outcomes: Outcomes, groups: Collection[Collection[int]] = ()) -> Tally:
    """Adds up what became of the images.

    Args:
      outcomes: Split and outcome of every image; may be gone through several times.
      groups: Numbers of rows that show the same radiograph; equal pixels are found here as well.
    """
    result = Tally()
    first: dict[str, int] = {}  # number of the first row with a content hash
    pairs: list[tuple[int, int]] = []
    grouped, used = {number for numbers in groups for number in numbers}, set[int]()
    for split, outcome in outcomes:
        result.total += 1
        if outcome.reason:
            result.rejects.append(outcome)
            continue
        if outcome.against:
            result.against[outcome.against].append(outcome.number)
        result.counts[split, outcome.label] += 1
        result.patients[split, outcome.label].add(outcome.patient)
        one = first.setdefault(outcome.content_hash, outcome.number)
        if one != outcome.number:
            pairs.append((one, outcome.number))
        if outcome.number in grouped:
            used.add(outcome.number)
    result.rejects.sort(key=lambda outcome: outcome.number)
    pairs += (pair for numbers in groups for pair in pairwise(number for number in numbers if number in used))
    same: DisjointSet = DisjointSet({number for pair in pairs for number in pair})
    for pair in pairs:
        same.merge(*pair)
    copied = {outcome.number: (split, outcome) for split, outcome in outcomes if outcome.number in same} if pairs else {}
    result.duplicates = sorted(
        ([copied[number] for number in sorted(numbers)] for numbers in same.subsets()), key=lambda copies: copies[0][1].number
    )
    return result


def write_rejects(result: Tally, rows: Sequence[Row], out: Path, name: str = REJECTS) -> Path | None:
    """Writes the files that are left out into the private folder; returns the list, None where there is none.

    Raises:
      OSError: It cannot be written.
    """
    lines = [(rows[o.number].where, rows[o.number].name, o.reason, o.detail) for o in result.rejects]
    return private_lists.write(out, name, REJECT_COLUMNS, lines)


def write_not_frontal(result: Tally, rows: Sequence[Row], out: Path) -> Path | None:
    """Writes the images that may be no frontal chest X-rays into the private folder; returns the list, None where there is none.

    Raises:
      OSError: It cannot be written.
    """
    numbers = sorted((number, text) for text, some in result.against.items() for number in some)
    lines = [(rows[number].where, rows[number].name, rows[number].label, text) for number, text in numbers]
    return private_lists.write(out, NOT_FRONTAL, ("where", "path", "label", "why"), lines)


def write_duplicates(result: Tally, rows: Sequence[Row], patients: Sequence[str], out: Path) -> Path | None:
    """Writes the radiographs that stand under several paths into the private folder; returns the list, None where there is none.

    Nothing in it leads to a record: patients are numbered within each picture, in place of their pseudonyms.

    Args:
      result: The duplicates.
      rows: By number.
      patients: The source's ids, by number of a row; empty where there is none.
      out: The output folder.

    Raises:
      OSError: It cannot be written.
    """
    lines = []
    for picture, copies in enumerate(result.duplicates, 1):
        units = [patients[o.number] or rows[o.number].image_unit for _, o in copies]
        places, hashes = list(dict.fromkeys(units)), _hashes(copies)
        for (split, o), unit in zip(copies, units, strict=True):
            row, copy = rows[o.number], "exact" if hashes[o.content_hash] > 1 else "near"
            lines.append((picture, row.where, row.name, split, o.label, places.index(unit) + 1, copy))
    return private_lists.write(out, DUPLICATES, ("picture", "where", "path", "split", "label", "patient", "copy"), lines)


def table(dataset: Dataset) -> Table:
    """Returns split × class, with totals."""
    title = how_many(dataset.images, "image") + (" (synthetic)" if dataset.synthetic else "")
    result = Table(title=title, title_justify="left")
    result.add_column("split")
    for name in (*dataset.class_names, "images", "patients"):
        result.add_column(name, justify="right")
    for split in dataset.splits:
        counts = [dataset.counts[split][name] for name in dataset.class_names]
        result.add_row(split, *map(str, counts), str(sum(counts)), str(dataset.patients[split]))
    totals = [sum(dataset.counts[split][name] for split in dataset.splits) for name in dataset.class_names]
    result.add_section()
    patients = NONE if dataset.all_patients is None else str(dataset.all_patients)
    result.add_row("all", *map(str, totals), str(sum(totals)), patients)
    return result


def remarks(dataset: Dataset, out: Path) -> list[str]:
    """Returns lines to print below the table of the records in `out`."""
    lists, lines = private_lists.folder_of(out), []
    if dataset.other_rows:
        lines.append(left_out(dataset.other_rows, dataset.config.where))
    if dataset.rejects:
        reasons = ", ".join(f"{count} {reason}" for reason, count in dataset.reject_reasons.items())
        lines.append(f"{how_many(dataset.rejects, 'file')} left out ({reasons}): {lists / REJECTS}")
    if dataset.doubts:
        doubted = sum(dataset.doubts.values())
        images = how_many(doubted, "image that may be no frontal chest X-ray", "images that may be no frontal chest X-rays")
        lines.append(f"{images}: {lists / NOT_FRONTAL}")
    if dataset.duplicates:
        lines.append(f"{how_many(dataset.duplicates, 'picture')} under more than one path, the same to the pixel: {lists / DUPLICATES}")
    if dataset.near_duplicates:
        near = how_many(dataset.near_duplicates, "radiograph")
        lines.append(f"{near} under more than one path, in copies that differ: {lists / DUPLICATES}")
    if dataset.label_conflicts:  # how many they are is warned of, as is who counts as one person: same_pictures.notes
        lines.append(f"radiographs under several labels: {lists / CONFLICTS}")
    if dataset.own_patients:
        lines.append(patient_ids.without_id(dataset.own_patients))
    return lines
