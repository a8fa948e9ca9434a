"""The Kaggle set of the 2021 paper, and others like it: folders per class, below train and test."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from cxr.core.features import COVID19, NORMAL, PNEUMONIA
from cxr.data.fetch.catalogue import Collection
from cxr.data.fetch.selection import NO_CLASS, Candidate, Options, Part, Selection, Walk

SOURCE = "kaggle"
NO_IMAGE = "no image by its name"
FOLDERS = {"covid": COVID19, "covid19": COVID19, "covid-19": COVID19, "pneumonia": PNEUMONIA, "normal": NORMAL}
SUBSETS = ("train", "val", "test")
ENDINGS = (".jpeg", ".jpg", ".png")
# Of the children's hospital's set: the number is a patient's, of whom there may be several pictures.
_KERMANY = re.compile(r"((?:NORMAL2-)?IM-\d+)-|(person\d+)_(?:bacteria|virus)_")
_KERMANY_LICENCE = "CC BY 4.0"


def select(walk: Walk, options: Options, folder: Path) -> Selection:
    """Takes what lies in a folder that is named after a class."""
    selection = Selection()
    for entry in walk():
        folders = [part.lower() for part in PurePosixPath(entry.name).parts[:-1]]
        label = next((FOLDERS[name] for name in reversed(folders) if name in FOLDERS), None)
        if not entry.base.lower().endswith(ENDINGS):
            selection.left_out[NO_IMAGE] += 1
        elif label is None:
            selection.left_out[NO_CLASS] += 1
        else:
            subset = next((name for name in reversed(folders) if name in SUBSETS), "")
            kermany = _KERMANY.match(entry.base)
            selection.candidates.append(
                Candidate(
                    path=entry.name,
                    label=label,
                    patient_id=f"kermany-{kermany[1] or kermany[2]}" if kermany else "",
                    source=SOURCE,
                    license=_KERMANY_LICENCE if kermany else "",
                    subset=f"{SOURCE}-{subset}" if subset else "",
                )
            )
    return selection


def parts(collection: Collection, selection: Selection, downloads: Path) -> list[Part]:
    """Returns nothing: the archive is what decides on the images, and is here."""
    return []
