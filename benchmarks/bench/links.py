"""Many images from a few: the same files under as many names as there are to be."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from cxr.core import features
from cxr.data.ingest.rows import Row
from cxr.data.ingest.sources import MANIFEST


def linked(images: list[Path], count: int, root: Path) -> Path:
    """Makes a tree of `count` images, dealt to the classes in turn; the names of one image all stand in one class."""
    for k in range(count):
        link(images[k % len(images)], root / features.CLASS_NAMES[k % len(images) % len(features.CLASS_NAMES)] / f"{k:06d}.jpg")
    return root


def manifest_of(rows: Sequence[Row], count: int, folder: Path) -> Path:
    """Makes a folder with a manifest of `count` images: those of the rows, again and again, as pictures of other patients each time.

    Args:
      rows: Of a source; label, patient, source and view are kept.
      count: Of images.
      folder: To write.
    """
    with _created(folder / MANIFEST).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("image", "label", "patient_id", "source", "view"))
        for number in range(count):
            row, copy = rows[number % len(rows)], number // len(rows)
            name = f"images/{number:06d}{Path(row.path).suffix}"
            link(Path(row.path), folder / name)
            writer.writerow((name, row.label, f"{row.patient or row.name}-{copy}", row.source, row.view))
    return folder


def link(source: Path, target: Path) -> None:
    """Makes a hard link, else a copy."""
    try:
        os.link(source, _created(target))
    except OSError:  # another file system, or a file of somebody else
        shutil.copyfile(source, target)


def _created(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    return file
