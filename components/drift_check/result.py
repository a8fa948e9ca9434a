"""What DriftCheck found: drift.json."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from cxr.components.drift_check.drift_config import Drift
from cxr.core.counts import how_many
from cxr.core.strict_model import StrictModel

DRIFT = "drift.json"
Measure = Literal["jensen_shannon", "l_infinity"]
MEASURES: dict[Measure, str] = {"jensen_shannon": "Jensen-Shannon", "l_infinity": "L-infinity"}


class Distance(StrictModel):
    """One feature of one split beside the same in the run before."""

    split: str
    feature: str
    measure: Measure
    distance: float
    images: int = Field(description="that state the feature")
    images_before: int
    judged: bool = Field(description="false: too few images state it (drift.min_images)")
    drifted: bool


class DriftResult(StrictModel):
    """The data of a run beside those of the run before."""

    settings: Drift
    compared: bool = Field(description="false: there was nothing to compare with")
    note: str = Field("", description="why nothing, or not all, was compared")
    distances: tuple[Distance, ...] = ()

    @property
    def findings(self) -> list[str]:
        """A sentence for each feature that has drifted."""
        return [
            f"{one.feature} has drifted from the previous run's data, split {one.split}: {MEASURES[one.measure]} {one.distance:.3f}, "
            f"limit {getattr(self.settings, one.measure):g} (drift.{one.measure})"
            for one in self.distances
            if one.drifted
        ]

    @property
    def stops(self) -> bool:
        """Whether the run must not go on."""
        return self.settings.fail and bool(self.findings)

    @property
    def lines(self) -> list[str]:
        """What a reader must know: the findings, or that there are none, and what was judged at all."""
        notes = [self.note] if self.note else []
        if not self.compared or self.findings:
            return notes + self.findings
        few = f"fewer than {self.settings.min_images} images in this run or in the previous one (drift.min_images)"
        judged = [one for one in self.distances if one.judged]
        if not judged:
            return [*notes, f"nothing was judged: {few}"]
        none = f"none of {how_many(len({one.feature for one in judged}), 'feature')} has drifted from the previous run's data"
        small = [split for split in dict.fromkeys(one.split for one in self.distances) if all(one.split != split for one in judged)]
        return [*notes, f"{none}; splits not judged: {', '.join(small)}, {few}" if small else none]

    def save(self, folder: Path) -> None:
        """Writes drift.json."""
        self.write(folder / DRIFT)

    @classmethod
    def load(cls, folder: Path) -> DriftResult:
        """Reads drift.json.

        Raises:
          CxrError: There is none, or it is damaged.
        """
        return cls.read(folder / DRIFT, "compare the data again (cxr run --no-cache)")
