"""The files below a folder that may be data, links to folders followed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from cxr.core.file_names import is_clutter


def data_files(folder: Path, fail: Callable[[OSError], object]) -> Iterator[Path]:
    """Yields the files below a folder, hidden ones and clutter left out.

    A folder that is reached twice is looked into once. A link to a folder above it, or above all of them, is not followed: that one's
    images are listed already, or belong elsewhere (in ingest, to another class).

    Args:
      folder: Where to look.
      fail: Called with the error where a folder cannot be listed; what it raises ends the search.
    """
    seen, top = set(), os.path.realpath(folder)
    for parent, folders, files in os.walk(folder, followlinks=True, onerror=fail):
        here = os.path.realpath(parent)
        if here in seen or os.path.commonpath([here, top]) == here != top:
            folders.clear()
            continue
        seen.add(here)
        folders[:] = sorted(filter(may_be_data, folders))
        yield from (Path(parent, name) for name in files if may_be_data(name))


def may_be_data(name: str) -> bool:
    """Tells whether a file or folder of this name is neither hidden nor clutter."""
    return not (name.startswith(".") or is_clutter(name))
