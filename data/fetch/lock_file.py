"""What was downloaded, with its SHA-256: the first download is trusted, every later one must be the same (`lock.json`)."""

from __future__ import annotations

from pathlib import Path

import pydantic

from cxr.core.durable import replace_text
from cxr.core.strict_model import StrictModel
from cxr.data.fetch.errors import FetchError

LOCK = "lock.json"


class Locked(StrictModel):
    """One downloaded file."""

    url: str
    size: int
    sha256: str
    published: str | None  # the checksum that its source publishes and that it was compared with


class _Content(StrictModel):
    files: dict[str, Locked] = {}


class LockFile:
    """The lock of one collection in one output folder."""

    def __init__(self, path: Path):
        """Reads it; where it is not there it is empty.

        Raises:
          FetchError: It cannot be read.
        """
        self.path = path
        try:
            self._files = dict(_Content.model_validate_json(path.read_text(encoding="utf-8")).files)
        except FileNotFoundError:
            self._files = {}
        except (OSError, UnicodeDecodeError, pydantic.ValidationError):
            raise FetchError(f"{path}: cannot be read; remove it, and what is downloaded from now on is trusted anew") from None

    def get(self, name: str) -> Locked | None:
        """Returns what is known of a file."""
        return self._files.get(name)

    def put(self, name: str, locked: Locked) -> None:
        """Adds a file, and writes the lock at once."""
        self._files[name] = locked
        replace_text(self.path, _Content(files=self._files).model_dump_json(indent=1) + "\n")
