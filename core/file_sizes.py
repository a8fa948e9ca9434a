"""Names and sizes of the files at a place: what was written there, and whether all of it still is."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from cxr.core.counts import agreeing

FILES = "cxr_files"  # under which an artifact's metadata keep them, in JSON; artifacts of earlier versions have none


def sizes_of(place: Path) -> dict[str, int]:
    """Returns the bytes of each file by its name, sorted.

    Args:
      place: A folder, whose files go by their path below it, or one file, which goes by its own name. Nothing there: no entry.

    Raises:
      OSError: A folder or file there cannot be looked at: nobody knows what there is.
    """
    return dict(sorted(_files(place)))


def what_changed(written: Mapping[str, int], place: Path) -> str:
    """Returns what became of the first file that is not what it was; empty: all are. Files that were added do not count.

    Args:
      written: `sizes_of` the place once all was written.
      place: Where the files should be.

    Raises:
      OSError: As of `sizes_of`.
    """
    found = dict(_files(place))
    for name, size in written.items():
        if name not in found:
            return f"{name} is missing"
        if found[name] != size:
            return f"{name} has {found[name]:,} {agreeing(found[name], 'byte', 'bytes')} in place of the {size:,} that were written"
    return ""


def _files(place: Path) -> Iterator[tuple[str, int]]:
    def stop(error: OSError) -> None:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            raise error

    if place.is_file():
        yield place.name, place.stat().st_size
    for parent, _, names in os.walk(place, onerror=stop):
        for name in names:
            file = Path(parent, name)
            if file.is_file():  # no link that leads nowhere
                yield str(file.relative_to(place)), file.stat().st_size
