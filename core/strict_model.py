"""The base of every configuration object, and of the JSON files that a run keeps."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from cxr.core.errors import CxrError, MissingFileError
from cxr.core.validation_errors import said


class StrictModel(BaseModel):
    """Immutable; unknown keys are errors that name the key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def write(self, file: Path) -> None:
        """Writes JSON; folders are made, and the file appears whole or not at all."""
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(f".{file.name}.{uuid.uuid4().hex}")  # not the process: its number comes again in another container
        try:
            draft.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
            draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)

    @classmethod
    def read(cls, file: Path, remedy: str) -> Self:
        """Reads what `write` wrote.

        Args:
          file: JSON.
          remedy: What to do where it cannot be read, for the error.

        Raises:
          MissingFileError: There is none.
          CxrError: It is damaged, or may not be read.
        """
        try:
            return cls.model_validate_json(file.read_bytes())
        except (OSError, ValidationError) as error:
            reason = error.strerror if isinstance(error, OSError) else said(error.errors()[0])
            kind = MissingFileError if isinstance(error, FileNotFoundError) else CxrError
            raise kind(f"{file}: cannot be read ({reason}); {remedy}") from None
