"""The base of every configuration object, and of the JSON files that a run keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cxr.core.durable import replace_text
from cxr.core.errors import CxrError, MissingFileError
from cxr.core.validation_errors import first_said

Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what NumPy, scikit-learn and Keras take alike


class StrictModel(BaseModel):
    """Immutable; unknown keys are errors that name the key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def write(self, file: Path) -> None:
        """Writes JSON; folders are made, and the file appears whole or not at all (`core/durable.py`)."""
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_text(file, self.model_dump_json(indent=2) + "\n")

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
            reason = error.strerror if isinstance(error, OSError) else first_said(error)
            kind = MissingFileError if isinstance(error, FileNotFoundError) else CxrError
            raise kind(f"{file}: cannot be read ({reason}); {remedy}") from None
