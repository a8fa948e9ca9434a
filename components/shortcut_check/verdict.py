"""What the shortcut check found for one model: verdict.json in the blessing's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from cxr.components.infra_check.reasons import REASONS
from cxr.core.intervals import Figure, Fraction, Share
from cxr.core.strict_model import StrictModel
from cxr.data.audit.regions import Masked

VERDICT = "verdict.json"
SEEN: Mapping[Masked, str] = {"centre": "with the lungs blacked out", "border": "with all but the lungs blacked out"}


class Comparison(StrictModel):
    """A model beside one shortcut, on the gate's split."""

    shortcut: str
    balanced_accuracy: Fraction = Field(description="the shortcut's")
    difference: Figure = Field(description="the model's less the shortcut's, the same patients drawn for both")
    beaten: bool = Field(description="the difference is above the margin")
    verdict: str


class MaskedAnswers(StrictModel):
    """The model's answers to pictures of which a part is black."""

    blacked_out: Masked = Field(description="centre: the lungs with all that lies in the same box; border: the frame round it")
    images: int
    patients: int
    accuracy: Share
    balanced_accuracy: Share
    most_frequent: Fraction = Field(description="share of the most frequent class: what is right without looking")
    verdict: str


class ShortcutVerdict(StrictModel):
    """The check of one model."""

    model: str
    split: str
    balanced_accuracy: Fraction = Field(description="the model's on the gate's split")
    margin: float | None = Field(description="gate.shortcut_margin; null: nothing was demanded")
    comparisons: tuple[Comparison, ...] = Field(description="the best shortcut first")
    masked: tuple[MaskedAnswers, ...] = Field(description="empty: audit.masked_models is off")
    clear: tuple[str, ...] = Field((), description="what the audit says of each shortcut that tells a class clearly, whatever is demanded")
    reasons: tuple[str, ...] = Field(description="why the model is refused; empty: it is blessed")

    @property
    def blessed(self) -> bool:
        """Whether the model may be pushed."""
        return not self.reasons

    def save(self, folder: Path) -> None:
        """Writes verdict.json, reasons.txt and a file whose name says the answer, as TFX's own validators do."""
        self.write(folder / VERDICT)
        (folder / REASONS).write_text("".join(f"{reason}\n" for reason in self.reasons), encoding="utf-8")
        (folder / ("BLESSED" if self.blessed else "NOT_BLESSED")).touch()

    @classmethod
    def load(cls, folder: Path) -> ShortcutVerdict:
        """Reads verdict.json.

        Raises:
          CxrError: There is none, or it is damaged.
        """
        return cls.read(folder / VERDICT, "run again with --no-cache")
