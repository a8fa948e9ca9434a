"""What a trainer would find out after minutes or hours: backbones and weights that are not there; and settings without effect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cxr.core.errors import CxrError, UsageError
from cxr.core.silence import silenced
from cxr.trainer.model_config import USUAL_BACKBONES, WITHOUT_FOLDER, Model


def check_backbones(models: Mapping[str, Model]) -> None:
    """Looks for backbones that Keras does not have.

    Raises:
      UsageError: There is one; it is named, with what there is.
    """
    for name, model in models.items():
        if model.backbone not in USUAL_BACKBONES:
            with silenced():
                from cxr.trainer.models.backbones import find  # Keras: seconds

            try:
                find(model.backbone)
            except CxrError as error:
                raise UsageError(f"models.{name}.backbone: {error}") from None


def check_weights(models: Mapping[str, Model]) -> None:
    """Looks for weights that a folder is to hold.

    Raises:
      UsageError: They are not there; it is named what is missing.
    """
    for name, model in models.items():
        if model.weights not in WITHOUT_FOLDER:
            with silenced():
                from cxr.trainer.models.weights import WeightsMissing, check_folder  # Keras: seconds

            try:
                check_folder(model)
            except WeightsMissing as error:
                raise UsageError(f"models.{name}.weights: {error}") from None


def remarks(models: Mapping[str, Model]) -> Iterator[str]:
    """Yields what is set without effect."""
    for name, model in models.items():
        if model.augments_nothing:
            yield (
                f"models.{name}.augmentation has no effect: its backbone is frozen, and sees changed images only where "
                f"models.{name}.augmentation.variants says how many"
            )
