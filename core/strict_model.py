"""The base of every configuration object, and of the JSON files that a run keeps."""

from __future__ import annotations

from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Self, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cxr.core.durable import replace_text
from cxr.core.errors import CxrError, MissingFileError
from cxr.core.validation_errors import first_said

Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what NumPy, scikit-learn and Keras take alike


def _truth_value_for_a_number(value: Any, annotation: Any) -> bool:
    """Tells whether true or false stands where a number is meant; in a mapping or a list of numbers too."""
    origin, kinds = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _truth_value_for_a_number(value, kinds[0])
    if origin in (Union, UnionType):
        return bool not in kinds and any(_truth_value_for_a_number(value, kind) for kind in kinds)
    if isinstance(value, dict) and origin is dict:
        return any(_truth_value_for_a_number(part, kinds[1]) for part in value.values())
    if isinstance(value, (list, tuple)) and origin in (list, tuple):
        return any(_truth_value_for_a_number(part, kinds[0]) for part in value)
    return isinstance(value, bool) and annotation in (int, float)


class StrictModel(BaseModel):
    """Immutable; unknown keys are errors that name the key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _check_numbers(cls, values: Any) -> Any:
        """Refuses true and false where a number is meant, which pydantic takes for 1 and 0."""
        for name, field in cls.model_fields.items() if isinstance(values, dict) else ():
            if _truth_value_for_a_number(values.get(name), field.annotation):
                raise ValueError(f"{name} must be a number, not true or false (YAML reads yes, on, no and off as these)")
        return values

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
