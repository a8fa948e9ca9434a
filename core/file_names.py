"""Names of files: made of what somebody else called something, such as libraries would not take for what they are, and clutter."""

from __future__ import annotations

import re
from pathlib import Path

from cxr.core.errors import UsageError

# What file managers, NAS boxes and DICOM media leave beside images: never meant as data, so skipped and not listed as rejects.
_CLUTTER = frozenset(("thumbs.db", "ehthumbs.db", "desktop.ini", ".ds_store", ".directory", "icon\r", "dicomdir"))
_CLUTTER_FOLDERS = frozenset(("__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found"))
LONGEST = 50  # characters: of four bytes each, less than any file system takes


def file_name_of(text: str) -> str:
    """Returns text as a part of a file's name: letters, digits, `_`, `.` and `-`; no folder comes of it. Two texts may give the same."""
    return re.sub(r"[^\w.-]", "-", text)[:LONGEST]


def check_readable(option: str, path: Path) -> None:
    """Refuses a folder in which TFX and TensorFlow would find no file.

    Args:
      option: That named it, for the error.
      path: Of the folder; what lies above it counts too.

    Raises:
      UsageError: See `unreadable`.
    """
    whole = path.absolute()
    if reason := unreadable(str(whole)):
        raise UsageError(f"{option} {path}: {reason}; name a folder without them ({whole})")


def unreadable(path: str) -> str | None:
    """Returns why TFX and TensorFlow find nothing at a path or URI; None: they do."""
    if re.search(r"[][*?\\]", path):
        return r"TFX reads files by patterns, where [ ] * ? \ have a meaning"
    if any("\udc80" <= character <= "\udcff" for character in path):
        return "TensorFlow reads names as UTF-8, and here are bytes that are none"
    return None


def is_clutter(name: str) -> bool:
    """Tells whether a file or folder is one that is never meant as data."""
    return name.lower() in _CLUTTER or name.lower() in _CLUTTER_FOLDERS or name.startswith("._")
