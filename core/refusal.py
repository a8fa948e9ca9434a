"""Why a candidate was refused: by which check, in which words, and what advice hangs on."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from cxr.core.strict_model import StrictModel


class Check(StrEnum):
    """What a candidate has to pass before it is pushed, in this order. The value is its name for people."""

    GATE = "gate"
    INFRASTRUCTURE = "infrastructure check"
    SHORTCUTS = "shortcut check"

    def says(self, text: str) -> str:
        """Returns a sentence as people read it, with who says it before it."""
        return f"{self}: {text}"


class Refusal(StrictModel):
    """One reason of one check. Whoever decides by it looks at the fields: the words are for people and may change."""

    check: Check
    text: str = Field(description="what was found, without the check's name")
    behind_baseline: bool = Field(False, description="the candidate fell behind the pushed version that it was compared with")

    def __str__(self) -> str:
        """As people read it."""
        return self.check.says(self.text)
