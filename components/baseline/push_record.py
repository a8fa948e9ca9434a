"""What is known about a model only when it is pushed: push.json in the version's assets.extra, beside the trainer's model.json."""

from __future__ import annotations

from pathlib import Path

from pydantic import ConfigDict, Field, field_validator

from cxr.core.errors import MissingFileError
from cxr.core.figure_table import TABLE
from cxr.core.intervals import Figure, checked_share
from cxr.core.places import EXTRA
from cxr.core.strict_model import StrictModel

RECORD = f"{EXTRA}/push.json"  # below the pushed version


class Comparison(StrictModel):
    """The version that a model was compared with when it was judged."""

    version: str
    metrics: dict[str, float] = Field(description="its own, on the same examples in the same run")


class PushRecord(StrictModel):
    """Where a pushed version came from and how it was judged. A later version's record may say more."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: str
    pushed_at: str = Field(description="ISO 8601, UTC")
    pipeline: str
    run: str = Field(description="the pipeline run's id")
    source: str = Field(description="URI of the Model artifact")
    fingerprint: str = Field(description="of the SavedModel, without this record")
    split: str = Field(description="that it was judged on")
    metrics: dict[str, float] = Field(description="on that split")
    figures: dict[str, Figure] = Field({}, description="names.FIGURES there, with 95 % intervals; empty: an older version kept none")
    baseline: Comparison | None = Field(None, description="null: there was none that it could be compared with")
    floor: str = Field(description="the best pushed version after this push, which the next candidate must not fall behind")

    @field_validator("figures")
    @classmethod
    def _check_shares(cls, figures: dict[str, Figure]) -> dict[str, Figure]:
        for name, figure in figures.items():
            if name in TABLE and TABLE[name].share:
                checked_share(figure)
        return figures


def read_record(version: Path) -> PushRecord | None:
    """Reads the record of a pushed version; None where it was pushed without one.

    Raises:
      CxrError: It is damaged.
    """
    try:
        return PushRecord.read(version / RECORD, "move it away, and the version counts as one pushed without a record")
    except MissingFileError:
        return None
