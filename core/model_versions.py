"""Which folders of a model's are its versions: those that a server would load, whoever looks."""

from __future__ import annotations

from pathlib import Path

LARGEST_VERSION = 2**63 - 1  # int64, in the protocol


def version_of(folder: Path) -> int | None:
    """Returns the version number a folder is named by, or None for other folders, for files, and beyond what the protocol holds."""
    name = folder.name
    if not (name.isascii() and name.isdecimal() and folder.is_dir()):  # int() reads 1_0 as well
        return None
    return number if (number := int(name)) <= LARGEST_VERSION else None
