"""Where features are kept and how many: as configured, and as a trainer's process is told.

A Trainer's parameters are part of TFX's cache key, and where features are kept must not train anything anew. So the parameters hold the
path of a file at most, the same for every run of a workspace, and the run writes the setting there. On Kubeflow an environment variable
says it, which is no part of KFP's key.
"""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field, ValidationError

from cxr.core.errors import CxrError
from cxr.core.strict_model import StrictModel
from cxr.core.validation_errors import first_said

ENVIRONMENT = "CXR_FEATURE_CACHE"  # JSON of a Place
MAX_GIGABYTES = 2.0  # some 20,000 images of the three backbones of `cpu`, or 90,000 after a global average
_REMEDY = "remove it: the next run writes it anew"


class Setting(StrictModel):
    """Section `feature_cache` of a configuration: features of frozen backbones are kept across runs."""

    folder: Path | None = Field(None, description="null: .cache/features of the workspace; on Kubeflow: nothing is kept")
    max_gigabytes: float = Field(MAX_GIGABYTES, gt=0, description="what has not been used for longest goes first")


class Place(StrictModel):
    """Where a process keeps features."""

    folder: Path | None = Field(description="null: nowhere")
    max_gigabytes: float = Field(MAX_GIGABYTES, gt=0)

    @property
    def max_bytes(self) -> int:
        """The bound."""
        return int(self.max_gigabytes * 1e9)

    def environment(self) -> dict[str, str]:
        """The variables by which a process is told."""
        return {ENVIRONMENT: self.model_dump_json()}


def place_of(setting: Setting | None, default: Path | None) -> Place:
    """Returns where a setting keeps features.

    Args:
      setting: As configured; None: off.
      default: Folder where the setting names none; None: nowhere.
    """
    if setting is None:
        return Place(folder=None)
    folder = setting.folder.expanduser().absolute() if setting.folder else default
    return Place(folder=folder, max_gigabytes=setting.max_gigabytes)


def told(file: str | None) -> Place:
    """Returns what this process was told: by the file that its run wrote, or else by its environment.

    Raises:
      CxrError: The file is damaged, or the variable is none that `environment` makes.
    """
    if file and Path(file).exists():
        return Place.read(Path(file), _REMEDY)
    if text := os.environ.get(ENVIRONMENT):
        try:
            return Place.model_validate_json(text)
        except ValidationError as error:
            raise CxrError(f"{ENVIRONMENT}: {first_said(error)}; unset it, a run sets it for its nodes") from None
    return Place(folder=None)
