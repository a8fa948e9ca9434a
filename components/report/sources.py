"""Where what the page shows is to be read: URIs of artifacts, and what is known without reading. What a run did not come to is None."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cxr.components.report.page.content import Artifact, Step, Verdict
from cxr.core.intervals import Figure
from cxr.data.ingest.dataset import Dataset


@dataclass(frozen=True)
class ModelSources:
    """One candidate's artifacts."""

    name: str
    evaluation: str | None = None  # ModelEvaluation
    model_run: str | None = None  # ModelRun
    verdict: Verdict = Verdict()
    model: str | None = None  # Model
    shortcut_check: str | None = None  # InfraBlessing of ShortcutCheck


@dataclass(frozen=True)
class RunBefore:
    """The run that this one is shown beside."""

    run: str
    configuration: tuple[tuple[str, str, str], ...] | None  # key, then, now: where they differ; None: one cannot be read
    data: tuple[str, ...]  # a sentence for each thing in which the data differ
    models: Mapping[str, tuple[Figure | None, str | None]]  # accuracy then; ModelEvaluation, None where it is gone


@dataclass(frozen=True)
class Sources:
    """A run's artifacts."""

    pipeline: str
    class_names: tuple[str, ...]
    split: str  # that the models are judged on
    models: tuple[ModelSources, ...]
    run: str = ""
    began: datetime | None = None  # the run, with its time zone; None: a node of it cannot know
    made: datetime | None = None  # the page, the same
    synthetic: bool = False  # also true where the examples say so
    pictures: bool = True
    examples: str | None = None
    statistics: str | None = None
    anomalies: str | None = None
    drift: str | None = None  # of the component DriftCheck
    audit: str | None = None  # of the component Audit
    explanation: str | None = None  # InferenceResult of Explanation, of the ensemble or the last model
    ingested: Dataset | None = None
    configuration: str = ""  # YAML, in full
    before: RunBefore | None = None
    steps: tuple[Step, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
