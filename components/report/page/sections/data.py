"""Data: what the run saw, and what ingest left out."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from cxr.components.drift_check.result import MEASURES, DriftResult
from cxr.components.report.page.content import Content, Data
from cxr.components.report.page.numbers import NONE, number
from cxr.components.report.page.section import Section
from cxr.core.counts import how_many
from cxr.data.ingest.dataset import Dataset


def _context(content: Content) -> Mapping[str, Any] | None:
    data = content.data
    if data is None:
        return None
    return {
        "data": data,
        "counts": _counts(data, content.class_names),
        "sources": _sources(data, content.class_names),
        "samples": [(label, list(group)) for label, group in groupby(data.samples, key=lambda picture: picture.label)],
        "numbers": [
            (
                f"{row.feature}, {row.split}",
                str(row.values),
                str(row.missing),
                *(number(value, 1) for value in (row.mean, row.deviation, row.low, row.median, row.high)),
            )
            for row in data.numbers
        ],
        "values": [
            (f"{row.feature}, {row.split}", ", ".join(f"{value} {count}" for value, count in row.counts.items())) for row in data.values
        ],
        "drift": _drift(data.drift) if data.drift else (),
        "ingested": _ingested(data.ingested) if data.ingested else (),
    }


def _counts(data: Data, class_names: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Rows: split, images of each class, all images, patients; and all splits."""
    splits = list(dict.fromkeys(split for split, _, _ in data.images))
    rows = []
    for split in splits:
        of_class = [sum(n for (s, label, _), n in data.images.items() if (s, label) == (split, name)) for name in class_names]
        rows.append((split, *map(str, of_class), str(sum(of_class)), str(data.patients.get(split, NONE))))
    if rows:
        totals = [sum(int(row[column]) for row in rows) for column in range(1, len(class_names) + 2)]
        rows.append(("all", *map(str, totals), str(data.all_patients)))
    return rows


def _sources(data: Data, class_names: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Rows: source, images of each class in all splits, all images."""
    rows = []
    for source in sorted({source for _, _, source in data.images}):
        of_class = [sum(n for (_, label, s), n in data.images.items() if (label, s) == (name, source)) for name in class_names]
        rows.append((source, *map(str, of_class), str(sum(of_class))))
    return rows


def _drift(found: DriftResult) -> list[tuple[str, ...]]:
    """Rows: feature and split, measure, distance, limit, how many images state it now and then, verdict."""
    return [
        (
            f"{one.feature}, {one.split}",
            MEASURES[one.measure],
            number(one.distance, 3),
            f"{getattr(found.settings, one.measure):g}",
            f"{one.images} ({one.images_before})",
            "drifted" if one.drifted else "" if one.judged else "not judged",
        )
        for one in found.distances
    ]


def _ingested(found: Dataset) -> list[tuple[str, str]]:
    """Rows: what, how many."""
    reasons = ", ".join(f"{count} {reason}" for reason, count in found.reject_reasons.items())
    return [
        *([("rows of the manifest that data.where left out", str(found.other_rows))] if found.other_rows else []),
        ("files left out", f"{found.rejects}{f' ({reasons})' if reasons else ''}"),
        ("pictures under more than one path, the same to the pixel", str(found.duplicates)),
        ("radiographs under more than one path, in copies that differ", str(found.near_duplicates)),
        ("patients who share a radiograph with another one and count as one", str(found.joined_patients)),
        ("radiographs under several labels", f"{found.label_conflicts} ({how_many(found.left_out, 'image')} left out because of this)"),
        ("images without a patient id, each a patient of its own", str(found.own_patients)),
    ]


SECTION = Section("data", "Data", _context)
