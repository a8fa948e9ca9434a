"""Which image goes to which split: given splits are kept, patients are dealt, or exact numbers are taken."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable

from cxr.core import features
from cxr.core.counts import how_many
from cxr.core.errors import CxrError
from cxr.core.support import one_with_most
from cxr.data.ingest import patient_ids
from cxr.data.ingest.deal import deal
from cxr.data.ingest.ingest_config import Ingest, Spelling, dotted
from cxr.data.ingest.private_lists import BadRows
from cxr.data.ingest.rows import Row, uniform

MAX_DEVIATION = 0.05  # of a class's share of images in a split from the asked-for one, before a warning
_MANY = 6  # images of one patient that are more than a course, in a small collection


def assign(
    rows: list[Row], config: Ingest, spelled: Spelling = dotted, usable: Callable[[Row], bool] = lambda row: True
) -> tuple[list[Row], list[str]]:
    """Sets the split of every row.

    With `only_split` that is the split of all rows. Else given splits are kept; a patient of whom one image has a given split goes there
    with all images. The others are dealt (deal.py), so that a patient never stands in two splits, whatever the classes. Where images are
    dealt, the same holds for a radiograph with all its copies.

    Args:
      rows: All rows.
      config: The policies.
      spelled: Names settings in messages.
      usable: Tells whether a row's file holds a usable picture; asked with `per_class` only.

    Returns:
      The rows that are used (all, unless `per_class` asks for fewer), and warnings.

    Raises:
      CxrError: A patient in two given splits; a class without an image in a split; too few images for `per_class`.
    """
    if config.per_class is not None:
        return _exact(rows, config, usable), []
    if config.only_split:
        return _all_in(rows, config.only_split, spelled), []
    units = [row.radiograph if config.split_by == "image" else row.unit for row in rows]
    given = _given(rows, units, config, spelled)
    present = {(given[unit], row.label) for row, unit in zip(rows, units, strict=True) if unit in given}
    alone = {name: frozenset([name]) for name in config.class_names}  # nearly all units have one class: they share the set
    classes: dict[str, frozenset[str]] = {}
    for row, unit in zip(rows, units, strict=True):
        if unit not in given:
            one, known = alone[row.label], classes.get(unit)
            classes[unit] = one if known in (None, one) else known | one
    dealt = deal(classes, config.class_names, config.splits.items(), present, config.seed)
    for row, unit in zip(rows, units, strict=True):
        row.split = given.get(unit) or dealt[unit]
    patients = Counter(name for own in classes.values() for name in own)
    if dealt:
        _check_dealt(rows, patients, config, spelled)
    _check_given(rows, config)
    notes = _uneven([row for row, unit in zip(rows, units, strict=True) if unit in dealt], patients, config) if dealt else []
    if config.split_by == "patient" and (large := one_with_most(Counter(units).values())):
        notes.append(f"{large}; if several patients share that id, write each one's own")
    return rows, notes


def _all_in(rows: list[Row], split: str, spelled: Spelling) -> list[Row]:
    placed = next((row for row in rows if row.split not in ("", split)), None)
    if placed:
        raise CxrError(
            f"{placed.where}: states the split {placed.split!r}, and {spelled('only_split', split)} puts all images into one; take only "
            f"those of that split ({spelled('where', f'split={split}')} of a manifest, the folder {split!r} of a tree)"
        )
    for row in rows:
        row.split = split
    return rows


def _given(rows: list[Row], units: list[str], config: Ingest, spelled: Spelling) -> dict[str, str]:
    first: dict[str, Row] = {}
    torn: dict[str, Row] = {}
    for row, unit in zip(rows, units, strict=True):
        if row.split and first.setdefault(unit, row).split != row.split:
            torn.setdefault(unit, row)
    if torn:
        pairs = [(first[unit], row) for unit, row in torn.items()]
        apart = f"{spelled('near_duplicates', 'list')} keeps them apart"
        if config.split_by == "image":
            what, shared = "radiograph", f" (copies count as one; {apart})"
        else:
            joined = any(row.person for pair in pairs for row in pair)
            what, shared = "patient", f" (who shares a radiograph counts as one; {apart})" if joined else ""
        raise BadRows(
            f"{how_many(len(torn), f'{what} stands', f'{what}s stand')} in two splits{shared}; move their images or drop the given splits"
            f"{_one_for_most(rows, spelled)}:",
            [row for pair in pairs for row in pair],
            [f"{one.split} ({one.where}) and {other.split} ({other.where})" for one, other in pairs],
        )
    return {unit: row.split for unit, row in first.items()}


def _check_given(rows: list[Row], config: Ingest) -> None:
    counts = Counter((row.split, row.label) for row in rows)
    for split in features.SPLITS:
        for name in config.class_names:
            if any(counts[split, other] for other in config.class_names) and not counts[split, name]:
                raise CxrError(f"class {name!r} has no image in the given split {split!r}; add some")
    if not any(row.split == features.TRAIN for row in rows):
        raise CxrError("the given splits have no 'train'")


def _check_dealt(rows: list[Row], patients: Counter[str], config: Ingest, spelled: Spelling) -> None:
    counts = Counter((row.split, row.label) for row in rows)
    for split in config.split_names:
        for name in config.class_names:
            if not counts[split, name]:
                what = "image" if config.split_by == "image" else "patient"
                raise CxrError(
                    f"class {name!r} has no image in split {split!r}: {how_many(patients[name], what)} of this class could be dealt to "
                    f"{', '.join(config.split_names)}; add images of more patients, state the splits yourself (column `split` of a "
                    "manifest, folders train, val, test), or do with fewer splits, for example "
                    f"{spelled('splits', '{train: 0.8, val: 0, test: 0.2}')}{_one_for_most(rows, spelled)}{_rounded(rows, config)}"
                )


def _one_for_most(rows: list[Row], spelled: Spelling) -> str:
    """Returns what is likely the cause where most images are of one patient: an anonymised header's id, which is that of all."""
    count = max(Counter(row.unit for row in rows).values())
    if 2 * count <= len(rows) or count < _MANY:
        return ""
    return (
        f"; {count} of {len(rows)} images name the same patient: if an anonymiser wrote that into DICOM headers, say who is who in a "
        f"manifest's column patient_id, which overrules them, or set {spelled('split_by', 'image')}"
    )


def _rounded(rows: list[Row], config: Ingest) -> str:
    """Returns what is likely the cause where ids are rounded: many patients became few."""
    if config.split_by == "image":
        return ""
    count = len(patient_ids.rounded({row.patient for row in rows}))
    looks = how_many(count, "patient id looks", "patient ids look")
    return f"; {looks} rounded (as 2.01912E+11), and patients who share one count as one: take the ids from their source" if count else ""


def _uneven(rows: list[Row], patients: Counter[str], config: Ingest) -> list[str]:
    counts, totals = Counter((row.split, row.label) for row in rows), Counter(row.label for row in rows)
    parts = []
    for split, share in config.splits.items():
        for name in totals:
            actual = counts[split, name] / totals[name]
            if abs(actual - share) > max(MAX_DEVIATION, 1 / patients[name]):  # no deal comes nearer than one patient
                parts.append(f"{split}/{name} {actual:.0%} in place of {share:.0%}")
    if not parts:
        return []
    return [f"uneven numbers of images: {', '.join(parts)}; its patients are few, or some have many more images than others"]


def _exact(rows: list[Row], config: Ingest, usable: Callable[[Row], bool]) -> list[Row]:
    """Takes exactly the asked-for numbers of usable images, in the order of a hash of seed and image. The unusable ones on the way are
    taken as well: they are rejects. A copy of a picture that another split has is not taken.
    """
    assert config.per_class is not None
    numbers: dict[str, dict[str, int]] = {str(split): counts for split, counts in config.per_class.items()}
    placed = next((row for row in rows if row.split), None)
    if placed:
        raise CxrError(f"{placed.where}: states a split, and `per_class` sets the splits itself; drop one of them")
    by_class: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: uniform(config.seed, row.image_unit)):
        by_class[row.label].append(row)
    taken, homes, copies = [], dict[str, str](), Counter[str]()
    for name in config.class_names:
        remaining = iter(by_class[name])
        for split in config.split_names:
            missing = numbers[split][name]
            while missing:
                candidate = next(remaining, None)
                if candidate is None:
                    wanted = sum(counts[name] for counts in numbers.values())
                    found = sum(other.label == name and usable(other) for other in rows)
                    known = f", and {how_many(copies[name], 'is a copy', 'are copies')} of what another split has" if copies[name] else ""
                    raise CxrError(
                        f"per_class: class {name!r} has {how_many(found, 'usable image')}, {wanted} are asked for{known}; ask for fewer, "
                        "or add images"
                    )
                if homes.setdefault(candidate.radiograph, split) != split:
                    copies[name] += usable(candidate)
                    continue
                candidate.split = split
                taken.append(candidate)
                missing -= usable(candidate)
    return taken
