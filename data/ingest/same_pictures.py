"""What follows when pictures show the same radiograph: label conflicts are settled, and patients who share a picture become one person."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from scipy.cluster.hierarchy import DisjointSet

from cxr.core import features
from cxr.core.counts import how_many
from cxr.core.errors import CxrError
from cxr.core.stored_rows import StoredRows
from cxr.data.duplicates.find import Pair, near_duplicates
from cxr.data.duplicates.thumbnails import SIDE
from cxr.data.ingest import private_lists
from cxr.data.ingest.ingest_config import Ingest, Spelling
from cxr.data.ingest.private_lists import CONFLICTS, PROBLEMS, shown
from cxr.data.ingest.progress_bar import stages
from cxr.data.ingest.rows import PATIENT, Row
from cxr.data.ingest.staged import Keys

Group = list[int]  # places in the list of rows, ascending
_OF_ONE = ("label", "source", "where", "path", "used")
CONFLICT_COLUMNS = ("picture", *_OF_ONE, *(f"other_{name}" for name in _OF_ONE), "agreement")


@dataclass(frozen=True)
class Settled:
    """The rows after the pictures were compared.

    Attributes:
      rows: Those that are used; `person` is set where patients were joined, `picture` where copies were found.
      groups: Rows that show the same radiograph, two or more each.
      joined: Patients (and images without one) that turned out to be another one.
      conflicts: Radiographs that stood under several labels.
      left_out: Images left out for that.
      listed: Their pairs, for the list of CONFLICT_COLUMNS.
    """

    rows: list[Row]
    groups: tuple[tuple[Row, ...], ...] = ()
    joined: int = 0
    conflicts: int = 0
    left_out: int = 0
    listed: tuple[tuple[object, ...], ...] = ()

    def notes(self) -> list[str]:
        """Returns warnings."""
        return notes(self.conflicts, self.left_out, self.joined)


def notes(conflicts: int, left_out: int, joined: int) -> list[str]:
    """Returns what a user is warned of, of records that are there already too; the arguments are those of `Settled`."""
    found = []
    if conflicts:
        radiographs, images = _conflicting(conflicts), how_many(left_out, "image is", "images are")
        found.append(f"{radiographs}, {images} left out ({CONFLICTS})")
    if joined:
        shared = "a radiograph with another one and"
        found.append(f"{how_many(joined, f'patient shares {shared} counts', f'patients share {shared} count')} as the same person")
    return found


def _conflicting(radiographs: int) -> str:
    return how_many(radiographs, "radiograph stands under several labels", "radiographs stand under several labels")


def compare(rows: Sequence[Row], keys: Keys, thumbnail: Callable[[Row], np.ndarray], config: Ingest, console: Console) -> list[Pair]:
    """Returns the pairs of rows (their places in the list) that show the same radiograph; none if `near_duplicates` says so.

    Synthetic pictures are left out: they are drawn from a few numbers, so that two made-up patients may agree as copies do.

    Args:
      rows: All rows.
      keys: Of their files: one file may stand under two labels, no matter whether it can be read.
      thumbnail: Returns that of a row, uint8 [SIDE, SIDE]; black where there is no picture.
      config: `near_duplicates` and `workers`.
      console: For progress.
    """
    if config.near_duplicates == "ignore":
        return []
    places = np.array([number for number, row in enumerate(rows) if row.source != features.SYNTHETIC], int)
    thumbnails = StoredRows.empty(len(places), (SIDE, SIDE), np.uint8)
    for number, place in enumerate(places):
        thumbnails[number] = thumbnail(rows[place])
    with stages(console, "looking for duplicates: ") as stage:
        found = near_duplicates(thumbnails, config.workers, stage)
    pairs = [Pair(int(places[pair.first]), int(places[pair.second]), pair.agreement) for pair in found]
    first, which = np.unique(keys, return_index=True, return_inverse=True)[1:]
    again = np.flatnonzero(first[which] != np.arange(len(rows)))
    return pairs + [Pair(int(first[which[number]]), number, 1.0) for number in again.tolist()]


def settle(rows: list[Row], pairs: Sequence[Pair], config: Ingest, out: Path, spelled: Spelling) -> Settled:
    """Applies `label_conflicts` and `near_duplicates` to the pairs that were found.

    Args:
      rows: All rows; those of joined patients get a `person`, copies a `picture`.
      pairs: From `compare`.
      config: The policies.
      out: In its private folder the conflicts are listed that nothing is said about.
      spelled: Names settings in messages.

    Raises:
      CxrError: A radiograph stands under several labels, and no policy says what to do.
      OSError: The list cannot be written.
    """
    groups = _groups(pairs)
    conflicts = [group for group in groups if len({rows[number].label for number in group}) > 1]
    left_out = {number for group in conflicts for number in _left_out([rows[number] for number in group], group, config)}
    listed = _listed(rows, pairs, conflicts, left_out, config)
    if conflicts and config.label_conflicts == "fail":
        written = private_lists.write(out, PROBLEMS, CONFLICT_COLUMNS, listed)  # CONFLICTS is that of the records that stay
        raise CxrError(_refusal([[rows[number] for number in group] for group in conflicts], written, spelled))
    joined = _join(rows, groups) if config.near_duplicates == "join" else 0
    remaining = (tuple(rows[number] for number in group if number not in left_out) for group in groups)
    return Settled(
        [row for number, row in enumerate(rows) if number not in left_out],
        tuple(group for group in remaining if len(group) > 1),
        joined,
        len(conflicts),
        len(left_out),
        tuple(listed),
    )


def _groups(pairs: Sequence[Pair]) -> list[Group]:
    sets = DisjointSet({number for pair in pairs for number in (pair.first, pair.second)})
    for pair in pairs:
        sets.merge(pair.first, pair.second)
    return sorted(sorted(group) for group in sets.subsets())


def _left_out(rows: Sequence[Row], group: Group, config: Ingest) -> Group:
    """Returns which pictures of a conflict are not used: all, or those that contradict the first of the sources that has one."""
    if config.label_conflicts == "keep_by_source":
        for source in config.source_priority:
            labels = {row.label for row in rows if row.source == source}
            if len(labels) == 1:
                return [number for number, row in zip(group, rows, strict=True) if row.label not in labels]
            if labels:
                break  # the source contradicts itself
    return group


def _listed(
    rows: Sequence[Row], pairs: Sequence[Pair], conflicts: Sequence[Group], left_out: set[int], config: Ingest
) -> list[tuple[object, ...]]:
    """Returns each picture beside every other one of the same radiograph that has another label, as CONFLICT_COLUMNS."""
    agreements = {(pair.first, pair.second): f"{pair.agreement:.3f}" for pair in pairs}
    decided = config.label_conflicts != "fail"

    def facts(number: int) -> tuple[str, ...]:
        row = rows[number]
        return row.label, row.source, row.where, row.name, ("no" if number in left_out else "yes") if decided else ""

    return [
        (k, *facts(one), *facts(other), agreements.get((one, other), ""))  # no agreement: only a third one connects them
        for k, group in enumerate(conflicts, 1)
        for place, one in enumerate(group)
        for other in group[place + 1 :]
        if rows[one].label != rows[other].label
    ]


def _refusal(conflicts: Sequence[Sequence[Row]], listed: Path | None, spelled: Spelling) -> str:
    places = ["; ".join(f"{row.label} ({row.where})" for row in group) for group in conflicts]
    return (
        f"{_conflicting(len(conflicts))}; correct the labels, or set {spelled('label_conflicts', 'drop')} "
        f"(none of their images is used) or {spelled('label_conflicts', 'keep_by_source')} with {spelled('source_priority', '[…]')}:"
        + shown(places, listed)
    )


def _join(rows: Sequence[Row], groups: Sequence[Group]) -> int:
    """Makes one radiograph of a group, and one person of its patients; returns how many patients became another one.

    All take the place of the first patient id in order, so that whoever had it before moves to no other split.
    """
    people: DisjointSet = DisjointSet({rows[number].unit for group in groups for number in group})
    for group in groups:
        first = min(rows[number].image_unit for number in group)
        for number in group:
            rows[number].picture = first
            people.merge(rows[group[0]].unit, rows[number].unit)
    named: dict[str, str] = {}
    for units in people.subsets():
        if len(units) > 1:
            named |= dict.fromkeys(units, min(units, key=lambda unit: (not unit.startswith(PATIENT), unit)))
    for row in rows:
        row.person = named.get(row.unit, "")
    return len(named) - len(set(named.values()))
