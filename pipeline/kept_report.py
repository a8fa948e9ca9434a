"""What lists and comparisons read of a run's report.json, of older versions too; pipeline/report.py writes it.

Only what they need: a list of runs takes no seconds, since neither TFX nor TensorFlow is imported.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

import pydantic

from cxr.core import exit_codes
from cxr.core.figure_table import OF_ALL_CLASSES, TABLE, interval_key
from cxr.core.intervals import Figure, checked_share

_SHORT = 100  # characters of a reason in a table


class _Limits(pydantic.BaseModel):
    low: float | None = None
    high: float | None = None


class KeptEvaluation(pydantic.BaseModel):
    """Figures of all classes on the split that the gate judges on; without a value where one is not defined, or was not measured then."""

    examples: int
    patients: int
    figures: dict[str, Figure]

    @pydantic.model_validator(mode="before")
    @classmethod
    def _gather(cls, kept: Any) -> Any:
        """Reads the fields of components.metrics.evaluation.Evaluation."""
        if not isinstance(kept, Mapping):
            return kept
        figures = {}
        for name in (row.name for row in OF_ALL_CLASSES):
            limits = _Limits.model_validate(kept.get(interval_key(name), {}))
            figures[name] = {"value": kept.get(name), "low": limits.low, "high": limits.high}
            if TABLE[name].share:
                checked_share(Figure.model_validate(figures[name]))
        return {**kept, "figures": figures}

    def figure(self, name: str) -> Figure:
        """Returns one of them with its interval.

        Raises:
          KeyError: There is no such figure of all classes.
        """
        return self.figures[name]


class KeptModel(pydantic.BaseModel):
    """One candidate of a run."""

    outcome: str
    reasons: tuple[str, ...] = ()
    model_uri: str | None = None
    evaluation_uri: str | None = None
    evaluation: KeptEvaluation | None = None
    baseline: str | None = None
    version: str | None = None
    weights: str = ""

    @property
    def verdict(self) -> str:
        """What became of it, in a short line; `reasons` has all that was said."""
        if self.outcome == "pushed":
            return f"pushed as version {self.version}"
        return f"{self.outcome}: {textwrap.shorten(self.reasons[0], _SHORT, placeholder=' …')}" if self.reasons else self.outcome


class KeptNode(pydantic.BaseModel):
    """One node of a run."""

    state: str
    seconds: float
    error: str = ""
    peak_memory: int | None = None  # bytes


def exit_code(states: Iterable[str]) -> int:
    """Returns a run's exit code from the outcomes of its models and the states of its nodes: OK only where every model was pushed."""
    found = set(states)
    return exit_codes.FAILED if "failed" in found else exit_codes.REFUSED if "refused" in found else exit_codes.OK


class KeptReport(pydantic.BaseModel):
    """What is read of report.json."""

    pipeline: str
    synthetic: bool = False
    data: str = ""
    data_fingerprint: str = ""
    images: dict[str, dict[str, int]] = {}  # split: class: images
    patients: dict[str, int] = {}  # split: patients
    split: str = ""
    examples_uri: str | None = None
    models: dict[str, KeptModel]
    nodes: dict[str, KeptNode] = {}
