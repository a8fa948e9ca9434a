"""A folder that `cxr fetch` made: whether that has ended."""

from __future__ import annotations

import json
from pathlib import Path

FOLDER = "fetch"  # in it: a folder per collection
FETCH_FILE = "fetch.json"


def unfinished(folder: Path) -> list[str]:
    """Returns the collections that `cxr fetch` has begun to bring into a folder, and not ended; a file that cannot be read tells none."""
    found = []
    for path in sorted((folder / FOLDER).glob(f"*/{FETCH_FILE}")):
        try:
            about = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(about, dict) and about.get("complete") is False:
            found.append(path.parent.name)
    return found
