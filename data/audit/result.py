"""What the audit found: audit.json, and the draws that comparisons with a model need."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from cxr.core.damaged_artifact import reading
from cxr.core.intervals import Fraction, Share
from cxr.core.strict_model import StrictModel

AUDIT = "audit.json"
DRAWS = "draws.npz"  # shortcut: its balanced accuracy on the gate's split in each draw of patients, float32 [draws]


class AuditFigures(StrictModel):
    """How well the class was told on some images."""

    images: Annotated[int, Field(ge=0)]
    patients: Annotated[int, Field(ge=0)]
    accuracy: Share
    balanced_accuracy: Share
    auc: dict[str, Share] = Field(description="class: area under the ROC curve, one against the rest")


class ShortcutResult(StrictModel):
    """What one small model told."""

    name: str
    phrase: str = Field(description="what it saw, for sentences")
    kind: Literal["shortcut", "reference"] = Field(description="reference: it may tell the class, and no gate asks about it")
    columns: int = Field(description="numbers or words per image")
    values: int = Field(description="different rows; 1: it is the same for all images and can tell nothing")
    folds: AuditFigures | None = Field(description="out of fold, by patient; null: too few patients")
    gate: AuditFigures | None = Field(description="learnt from the training split, on the gate's; null: there are no such splits")
    clear_classes: tuple[str, ...] = Field(description="the classes that it tells clearly, the surest first; empty: none")
    hinted_classes: tuple[str, ...] = Field((), description="of no clear one: the class that it surely tells better than by chance")
    verdict: str


class AuditResult(StrictModel):
    """The whole audit."""

    class_names: tuple[str, ...] = Field(min_length=1)
    split: str = Field(description="the gate's")
    images: dict[str, int] = Field(description="split: images")
    patients: int
    folds: int = Field(description="that could be made; 0: too few patients")
    clear_auc: Fraction
    shortcuts: tuple[ShortcutResult, ...]

    @property
    def clear(self) -> tuple[ShortcutResult, ...]:
        """Shortcuts that tell a class clearly, references left out."""
        return tuple(found for found in self.shortcuts if found.kind == "shortcut" and found.clear_classes)

    @property
    def hints(self) -> tuple[ShortcutResult, ...]:
        """Shortcuts that tell something about a class, and none clearly; references left out."""
        return tuple(found for found in self.shortcuts if found.kind == "shortcut" and found.hinted_classes)

    @property
    def undecided(self) -> tuple[ShortcutResult, ...]:
        """Shortcuts that tell no class clearly and might with more patients: unmeasured, or an AUC's interval reaches `clear_auc`."""
        unclear = (found for found in self.shortcuts if found.kind == "shortcut" and not found.clear_classes and found.values > 1)
        return tuple(found for found in unclear if _reaches(found.folds or found.gate, self.clear_auc))

    @property
    def ranked(self) -> tuple[ShortcutResult, ...]:
        """Shortcuts that were measured on the gate's split, the highest balanced accuracy first."""
        measured = [found for found in self.shortcuts if found.kind == "shortcut" and balanced_on_gate(found) is not None]
        return tuple(sorted(measured, key=lambda found: -(balanced_on_gate(found) or 0.0)))

    def save(self, folder: Path, draws: Mapping[str, npt.NDArray[np.float32]]) -> None:
        """Writes audit.json and the draws."""
        self.write(folder / AUDIT)
        np.savez_compressed(folder / DRAWS, **draws)  # type: ignore[arg-type]

    @classmethod
    def load(cls, folder: Path) -> AuditResult:
        """Reads audit.json.

        Raises:
          CxrError: There is none, or it is damaged.
        """
        return cls.read(folder / AUDIT, "run the audit again (cxr run --no-cache)")


def load_draws(folder: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Reads the draws beside audit.json, by shortcut.

    Raises:
      CxrError: There are none, or they are damaged.
    """
    with reading(folder), np.load(folder / DRAWS, allow_pickle=False) as arrays:
        return dict(arrays)


def _reaches(figures: AuditFigures | None, auc: float) -> bool:
    return figures is None or any((figure.high or 0.0) >= auc for figure in figures.auc.values())


def balanced_on_gate(found: ShortcutResult) -> float | None:
    """Returns a shortcut's balanced accuracy on the gate's split; None where it was not measured."""
    return found.gate.balanced_accuracy.value if found.gate else None
