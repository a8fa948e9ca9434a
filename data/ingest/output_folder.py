"""Which output folders ingest must not replace."""

from __future__ import annotations

import os
from pathlib import Path

from cxr.core.errors import CxrError
from cxr.data.ingest.dataset import DATASET, read_dataset
from cxr.data.ingest.pseudonyms import KEY_FILE_VARIABLE


def check(out: Path, overwrite: bool, key: str, key_file: Path) -> None:
    """Refuses a folder that must not be replaced.

    Args:
      out: The folder.
      overwrite: Records may be replaced.
      key: Id of the key that pseudonyms are made with now.
      key_file: That key's file.

    Raises:
      CxrError: `out` holds something, and `overwrite` is not set or it is no output of ingest; it cannot change places with another folder.
    """
    if os.path.ismount(out):
        raise CxrError(f"{out}: is a mount point, which no other folder can take the place of; name a folder in it, {out / 'records'}")
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / DATASET).is_file():
        raise CxrError(f"{out}: exists and is no output of `cxr ingest`; name another folder")
    if overwrite:
        return
    try:
        theirs = read_dataset(out).key_id
    except CxrError:
        theirs = ""
    if theirs and theirs != key:
        raise CxrError(
            f"{out}: holds records whose pseudonyms another key made than {key_file}; name that key ({KEY_FILE_VARIABLE}, or --key-file of "
            "`cxr ingest`), name another folder, or set --overwrite"
        )
    raise CxrError(f"{out}: holds the records of another source or configuration; name another folder, or set --overwrite")
