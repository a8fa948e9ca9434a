"""Finds the records files that are no longer what `cxr ingest` wrote: missing, cut short, or with bits that flipped."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from cxr.core import features
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
            what = "is missing" if found is None else f"has {found:,} bytes in place of the {size:,} that were written"
            raise CxrError(f"{file}: {what}; {_remedy(folder)}")


def unreadable(folder: Path, dataset: Dataset) -> Iterator[str]:
    """Reads all records, which carry checksums, and yields a sentence for each file that cannot be read to its end.

    Args:
      folder: As of `check_sizes`.
      dataset: The same.
    """
    import tensorflow as tf  # seconds

    for name in dataset.files:
        try:
            for _ in tf.data.TFRecordDataset(str(folder / name), "GZIP"):
                pass
        except tf.errors.OpError as error:
            yield f"{folder / name}: is damaged ({' '.join(error.message.split())}); {_remedy(folder)}"


def _remedy(folder: Path) -> str:
    return f"copy it again, or make the records again: cxr ingest SOURCE {folder} --overwrite (records in a workspace: remove {folder})"
