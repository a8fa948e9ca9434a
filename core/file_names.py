"""Names of files that are made of what somebody else called something."""

from __future__ import annotations

import re

LONGEST = 50  # characters: of four bytes each, less than any file system takes


def file_name_of(text: str) -> str:
    """Returns text as a part of a file's name: letters, digits, `_`, `.` and `-`; no folder comes of it. Two texts may give the same."""
    return re.sub(r"[^\w.-]", "-", text)[:LONGEST]
