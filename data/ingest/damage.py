"""Finds the records files that are no longer what `cxr ingest` wrote: missing or cut short. ImportExampleGen finds flipped bits."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from cxr.core import features
from cxr.core.counts import agreeing
from cxr.core.errors import CxrError
from cxr.data.ingest.dataset import Dataset


def check_sizes(folder: Path, dataset: Dataset, splits: Collection[str] = features.SPLITS) -> None:
    """Makes sure that all records files are there, as long as they were: a cut one may read as if its images had never been.

    Args:
      folder: That `cxr ingest` wrote.
      dataset: What it says of itself.
      splits: Those that will be read.

    Raises:
      CxrError: One is missing, or of another size.
    """
    for name, size in dataset.files.items():
        if name.partition("/")[0] not in splits:
            continue
        file = folder / name
        found = file.stat().st_size if file.is_file() else None
        if found != size:
            what = "is missing"
            if found is not None:
                what = f"has {found:,} {agreeing(found, 'byte', 'bytes')} in place of the {size:,} that were written"
            raise CxrError(f"{file}: {what}; {_remedy(folder)}")


def _remedy(folder: Path) -> str:
    return f"copy it again, or make the records again: cxr ingest SOURCE {folder} --overwrite (records in a workspace: remove {folder})"
