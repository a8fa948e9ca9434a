"""What the page shows, as plain values: gathered by `cxr.components.report.gather`, rendered by `render`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import numpy.typing as npt

from cxr.components.answers.image_answers import AnsweredImages
from cxr.components.drift_check.result import DriftResult
from cxr.components.explanation.result import Result as Explained
from cxr.components.metrics.evaluation import Evaluation
from cxr.components.metrics.verdicts import Judgement
from cxr.components.shortcut_check.verdict import ShortcutVerdict
from cxr.core.curve_bands import Band, Curve
from cxr.core.intervals import Figure
from cxr.core.refusal import Refusal
from cxr.core.spans import seconds_between
from cxr.data.audit.result import AuditResult
from cxr.data.ingest.dataset import Dataset
from cxr.trainer.model_info import ModelInfo

# === Data ===


@dataclass(frozen=True)
class Picture:
    """A radiograph, small; nothing in it leads to a patient, a file or a path."""

    jpeg: str  # base64
    label: str
    source: str
    split: str


@dataclass(frozen=True)
class NumberStatistics:
    """A numeric feature of one split; None where it has no values."""

    feature: str
    split: str
    values: int
    missing: int
    mean: float | None = None
    deviation: float | None = None
    low: float | None = None
    median: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class ValueCounts:
    """How often each value of a categorical feature stands in one split, the most frequent first."""

    feature: str
    split: str
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Data:
    """The images of a run."""

    images: Mapping[tuple[str, str, str], int]  # split, class, source: images
    patients: Mapping[str, int] = field(default_factory=dict)  # split: patients
    all_patients: int = 0  # in all splits together, each once
    samples: tuple[Picture, ...] = ()
    numbers: tuple[NumberStatistics, ...] = ()
    values: tuple[ValueCounts, ...] = ()
    anomalies: tuple[str, ...] | None = None  # None: not looked for
    ingested: Dataset | None = None  # what `cxr ingest` said of them; None: not known where the page was made
    drift: DriftResult | None = None  # None: not looked for


# === Models ===


@dataclass(frozen=True)
class Stage:
    """One stage of training."""

    name: str
    rows: tuple[Mapping[str, float], ...]  # per epoch: loss, accuracy, val_loss, val_accuracy, learning_rate, seconds
    best_epoch: int | None  # from 1; None: the last epoch's weights were kept
    stopped_early: bool
    resumed_from: int


@dataclass(frozen=True)
class Training:
    """How a model was trained; an ensemble's has a method, and stages only where it trained a layer."""

    stages: tuple[Stage, ...]
    facts: Mapping[str, str]
    method: str = ""
    shares: Mapping[str, float] = field(default_factory=dict)  # member: its share of the vote
    validation: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # method or member: loss and accuracy
    random_weights: bool = False  # its backbone started from weights that were never trained


@dataclass(frozen=True)
class Verdict:
    """What became of a model; None where a run did not come to it, or where the page was made before it did."""

    outcome: str | None = None  # pushed, refused, failed
    blessed: bool | None = None  # by the gate
    servable: bool | None = None  # by the infrastructure check
    version: str | None = None  # pushed
    baseline: str | None = None  # version that it was compared with
    failures: tuple[str, ...] = ()  # what broke
    refusals: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()
    demands: tuple[Judgement, ...] = ()  # of the gate

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it was not pushed, for people."""
        return (*self.failures, *map(str, self.refusals))


@dataclass(frozen=True)
class Model:
    """One candidate."""

    name: str
    verdict: Verdict = Verdict()
    training: Training | None = None
    evaluation: Evaluation | None = None
    roc: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)  # class: [thresholds, 3], see read_roc
    answers: AnsweredImages | None = None
    facts: Mapping[str, str] = field(default_factory=dict)  # where it comes from
    shortcuts: ShortcutVerdict | None = None  # beside what can be told without the lungs
    info: ModelInfo | None = None  # what the model says of itself: calibration, operating points
    bands: Mapping[str, Mapping[Curve, Band]] = field(default_factory=dict)  # class: of its curves; none of too few patients


@dataclass(frozen=True)
class Answer:
    """A model's answer to one image."""

    model: str
    probabilities: tuple[float, ...]
    predicted: str


@dataclass(frozen=True)
class Overlay:
    """The regions of a picture that speak for a class, laid over it."""

    jpeg: str  # base64
    explained: str  # class
    empty: bool  # no region does; the picture says so


@dataclass(frozen=True)
class Mistake:
    """An image that a model got wrong."""

    label: str
    source: str
    picture: Picture | None  # None: pictures are left out, or it was not found
    answers: tuple[Answer, ...]  # of every model, the one whose mistake it is first
    overlay: Overlay | None = None  # of the model whose mistake it is; None: as of `picture`, or it was not explained


@dataclass(frozen=True)
class Mistakes:
    """The most confident wrong answers of one model."""

    model: str
    total: int
    shown: tuple[Mistake, ...]
    wrong_by_all: int  # images that every model got wrong


# === Before ===


@dataclass(frozen=True)
class ModelBefore:
    """A model in the run before, beside this run's.

    Attributes:
      accuracy: then, with its interval; None: it was not evaluated.
      differences: figure to now less then, the same patients drawn for both.
      why_not: why there are none.
    """

    accuracy: Figure | None
    differences: Mapping[str, Figure]
    why_not: str


@dataclass(frozen=True)
class Before:
    """The run before this one."""

    run: str
    configuration: tuple[tuple[str, str, str], ...] | None  # key, then, now; None: one cannot be read
    data: tuple[str, ...]  # in what the data differ
    models: Mapping[str, ModelBefore]


# === Run ===


@dataclass(frozen=True)
class Step:
    """One node of the graph."""

    node: str
    state: str  # done, cached, failed, skipped
    seconds: float
    error: str = ""
    peak_memory: int | None = None  # of its largest process, bytes; None: it did no work


@dataclass(frozen=True)
class Artifact:
    """Something that a node made."""

    node: str
    output: str
    kind: str
    id: int
    place: str  # the end of its URI


@dataclass(frozen=True)
class Content:
    """Everything on the page."""

    pipeline: str
    class_names: tuple[str, ...]
    split: str  # that the models are judged on
    synthetic: bool
    pictures: bool  # False: left out, because somebody asked for that
    models: tuple[Model, ...]
    run: str = ""
    began: datetime | None = None  # the run, with its time zone; None: not known where the page was made
    made: datetime | None = None  # the page, the same
    data: Data | None = None
    audit: AuditResult | None = None
    mistakes: Mistakes | None = None
    explanation: Explained | None = None  # of the model whose mistakes they are
    before: Before | None = None  # None: the first run, or one that cannot know
    steps: tuple[Step, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    configuration: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def seconds(self) -> float | None:
        """How long the run took until the page was made, which is the last that it does; None: not known."""
        return seconds_between(self.began, self.made) if self.began and self.made else None

    @property
    def failed(self) -> tuple[Step, ...]:
        """Nodes that broke."""
        return tuple(step for step in self.steps if step.state == "failed")
