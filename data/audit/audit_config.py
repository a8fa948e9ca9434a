"""How the confounding audit is made: the section `audit` of a pipeline's configuration."""

from __future__ import annotations

from pydantic import Field

from cxr.core.strict_model import Seed, StrictModel


class Audit(StrictModel):
    """How the confounding audit is made. What follows from it for a model is `gate.shortcut_margin`'s."""

    folds: int = Field(5, ge=2, description="by patient; fewer where the rarest class has fewer patients")
    seed: Seed = Field(2021, description="of the folds and of the small models")
    # Hosmer, Lemeshow and Sturdivant (Applied Logistic Regression, 2013, section 5.2.4) call 0.8 to 0.9 excellent discrimination.
    clear_auc: float = Field(
        0.8,
        gt=0.5,
        le=1,
        description="a shortcut tells a class clearly where its AUC (class against rest) surely reaches this, or gets halfway from it to 1 "
        "and surely halfway from 0.5 to it",
    )
    max_images: int = Field(20_000, ge=100, description="that the small models learn from and the folds hold; of more, patients are drawn")
    masked_models: bool = Field(True, description="ask the trained models too, with the lungs and with all but the lungs blacked out")
    masked_images: int = Field(
        100, ge=1, description="of the gate's split, that they are asked about twice each: a large network takes 0.3 s per image on 2 cores"
    )


def halfway(clear_auc: float) -> tuple[float, float]:
    """Returns the AUC halfway from `clear_auc` to 1, and the one halfway from 0.5 to it: see `Audit.clear_auc`."""
    return (clear_auc + 1) / 2, (clear_auc + 0.5) / 2
