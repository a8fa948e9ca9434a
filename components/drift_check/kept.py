"""Statistics of data that passed, kept in a folder: for runs that have no metadata store of ours to look in (Kubeflow).

Each lies in `<folder>/<time>-<key>`, where the key is made of its content; a folder appears whole, by one rename.
"""

from __future__ import annotations

import contextlib
import shutil
import time
import uuid
from pathlib import Path

from cxr.core.fingerprints import of_folder

KEPT = 3  # the newest: this run's data, those before, and one for a run that began meanwhile
_DRAFT = ".draft-"
_ABANDONED_SECONDS = 86_400  # a copy takes seconds


def keep(statistics: Path, folder: Path) -> None:
    """Keeps the statistics of data that passed as the newest; those of older data go.

    Args:
      statistics: Folder of an ExampleStatistics artifact.
      folder: Made where it is not there.

    Raises:
      OSError: The folder cannot be written.
    """
    key = of_folder(statistics)
    folder.mkdir(parents=True, exist_ok=True)
    for draft in folder.glob(f"{_DRAFT}*"):  # of a process that was killed
        with contextlib.suppress(FileNotFoundError):  # another process removes it
            if draft.stat().st_ctime < time.time() - _ABANDONED_SECONDS:  # copytree sets the time of modification back
                shutil.rmtree(draft, ignore_errors=True)
    draft = folder / f"{_DRAFT}{uuid.uuid4().hex}"
    try:
        shutil.copytree(statistics, draft)
        draft.rename(folder / f"{_now(folder):020d}-{key}")
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    all_of_them = _newest_first(folder)  # ours first, unless another process has kept some meanwhile
    same = [found for found in all_of_them if found.name.endswith(f"-{key}")]
    for old in {*same[1:], *[found for found in all_of_them if found not in same[1:]][KEPT:]}:
        shutil.rmtree(old, ignore_errors=True)


def before(statistics: Path, folder: Path) -> Path | None:
    """Returns the newest kept statistics that are others than these; None: there are none."""
    key = of_folder(statistics)
    return next((found for found in _newest_first(folder) if not found.name.endswith(f"-{key}")), None)


def _now(folder: Path) -> int:
    """Nanoseconds; where the clock was set back, or another machine's runs ahead, the moment after the newest."""
    stamps = [int(found.name.partition("-")[0]) for found in _newest_first(folder)]
    return max([time.time_ns(), *(stamp + 1 for stamp in stamps)])


def _newest_first(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted((found for found in folder.glob("*-*") if found.name.partition("-")[0].isdecimal()), reverse=True)
