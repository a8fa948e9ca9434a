"""The base of every configuration object."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class StrictModel(BaseModel):
    """Immutable; unknown keys are errors that name the key."""

    model_config = ConfigDict(frozen=True, extra="forbid")
