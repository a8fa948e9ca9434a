"""Names of files: made of what somebody else called something, and such as libraries would not take for what they are."""

from __future__ import annotations

import re
from pathlib import Path

from cxr.core.errors import UsageError

LONGEST = 50  # characters: of four bytes each, less than any file system takes


def file_name_of(text: str) -> str:
    """Returns text as a part of a file's name: letters, digits, `_`, `.` and `-`; no folder comes of it. Two texts may give the same."""
    return re.sub(r"[^\w.-]", "-", text)[:LONGEST]


def check_no_pattern(option: str, path: Path) -> None:
    """Refuses a folder in which TFX and TensorFlow would find no file: they read by patterns.

    Args:
      option: That named it, for the error.
      path: Of the folder; what lies above it counts too.

    Raises:
      UsageError: One of `[`, `]`, `*`, `?` is part of it.
    """
    whole = path.absolute()
    if has_pattern(str(whole)):
        raise UsageError(
            f"{option} {path}: TFX reads files by patterns, where [ ] * ? have a meaning; name a folder without them ({whole})"
        )


def has_pattern(path: str) -> bool:
    """Tells whether a path or URI would be taken for a pattern of file names."""
    return re.search(r"[][*?]", path) is not None
