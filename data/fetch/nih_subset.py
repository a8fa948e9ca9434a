"""A part of NIH ChestX-ray14: frontal images whose only label is Pneumonia or No Finding, so many of each, drawn by a seed."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path

from cxr.core.features import NORMAL, PNEUMONIA
from cxr.data.fetch.catalogue import NIH_PART_IMAGES, Collection
from cxr.data.fetch.selection import (
    NO_CLASS,
    NOT_DRAWN,
    NOT_FRONTAL,
    Candidate,
    Options,
    Part,
    Selection,
    Walk,
    known_age,
    known_sex,
    table,
)
from cxr.data.images.frontal import is_frontal
from cxr.data.ingest.manifest import read_manifest
from cxr.data.ingest.rows import uniform

SOURCE = "nih"
LICENCE = "NIH Clinical Center, unrestricted"
TABLES = ("data_entry_2017_v2020.csv", "data_entry_2017.csv")
LABELS = {"Pneumonia": PNEUMONIA, "No Finding": NORMAL}
OTHER_PART = "in a part that was not asked for (--parts)"


def select(walk: Walk, options: Options, folder: Path) -> Selection:
    """Draws images: those with the smallest hash of seed and name, so that a larger subset holds a smaller one."""
    selection = Selection()
    rows = list(table(walk, TABLES, folder, ("Image Index", "Finding Labels", "View Position")))
    part_of = parts_of([row["Image Index"] for row in rows])
    for row in rows:
        label = LABELS.get(row["Finding Labels"])
        if label is None:
            selection.left_out[NO_CLASS] += 1
        elif not is_frontal(row["View Position"]):
            selection.left_out[NOT_FRONTAL] += 1
        elif options.parts and part_of[row["Image Index"]] not in options.parts:
            selection.left_out[OTHER_PART] += 1
        else:
            patient = row.get("patient_id", "")
            selection.candidates.append(
                Candidate(
                    path=row["Image Index"],
                    label=label,
                    patient_id=f"{SOURCE}-{patient:0>8}" if patient else "",  # with or without the zeros, as the table's edition has it
                    source=SOURCE,
                    view=row["View Position"],
                    sex=known_sex(row.get("Patient Sex", row.get("Patient Gender", ""))),
                    age=known_age(row.get("Patient Age", "")),
                    license=LICENCE,
                )
            )
    drawn: set[str] = set()
    for label in LABELS.values():
        paths = [candidate.path for candidate in selection.candidates if candidate.label == label]
        drawn |= set(sorted(paths, key=lambda path: (uniform(options.seed, path), path))[: options.per_class])
    selection.without(lambda candidate: candidate.path not in drawn, NOT_DRAWN)
    return selection


def parts_of(names: list[str]) -> dict[str, int]:
    """Returns each image's part, from 1: the parts hold the images in the order of their names."""
    ends = list(accumulate(NIH_PART_IMAGES))
    result, part = {}, 0
    for position, name in enumerate(sorted(names)):
        if part < len(ends) - 1 and position >= ends[part]:
            part += 1
        result[name] = part + 1
    return result


def parts(collection: Collection, selection: Selection, downloads: Path) -> list[Part]:
    """Returns the archives that hold images of the subset."""
    _, rows, _ = read_manifest(downloads / collection.files[0].name, ("Image Index",))
    part_of = parts_of([row["Image Index"] for _, row in rows])
    return [
        (remote, held)
        for number, remote in enumerate(collection.archives, 1)
        if (held := [candidate for candidate in selection.candidates if part_of[candidate.path] == number])
    ]
