"""Features that a head learns from: of a frozen backbone that does not multiply rounding errors. Runs and cross-validations share it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cxr.core.stored_rows import Array, FloatRows
from cxr.trainer import devices
from cxr.trainer.cached_features import BATCH
from cxr.trainer.encoded_images import EncodedImages
from cxr.trainer.frozen_backbone import FrozenBackbone
from cxr.trainer.phantoms import phantoms


@dataclass(frozen=True)
class FrozenFeatures:
    """What the frozen backbone made of the splits before: the head stage learns from it, and no image passes through once more.

    Attributes:
      features: Split: float32 [passes, images, width], in the split's order; of training images as they are, then of each variant.
      statistics: Each layer's moving mean and variance that they were made with (`FrozenBackbone.statistics`).
    """

    features: Mapping[str, FloatRows]
    statistics: Sequence[Array]


def check_steadiness(frozen: FrozenBackbone, images: EncodedImages, setting: str) -> None:
    """Makes sure that a backbone does not multiply rounding errors; see `check_stability`.

    Half precision is not asked: it rounds by more than the noise of this check.

    Args:
      frozen: With the batch statistics that it is to have.
      images: Training images; the first of them are looked at, and drawn pictures, which a network may treat otherwise.
      setting: Of the model in the configuration ("models.NAME"), for the error.

    Raises:
      CxrError: It does; names what to change.
    """
    if devices.policy(frozen.precision) == devices.FLOAT32:
        drawn = phantoms()
        frozen.check([*images[: BATCH - len(drawn)], *drawn], _remedy(frozen, setting))


def _remedy(frozen: FrozenBackbone, setting: str) -> str:
    """What helps a backbone that multiplies rounding errors."""
    if not frozen.assembly.backbone.random:
        return f"Check {setting}.weights and {setting}.input_adapter: do they belong together?"
    larger = f"set {setting}.image_size={2 * frozen.assembly.network_size}"
    if frozen.config.bn_recalibration == "per_layer":
        return f"Remedy: {larger} or {setting}.bn_recalibration=none."
    return f"Remedy: set {setting}.bn_recalibration=none or per_layer, or {larger}."
