"""Reads history.json of a ModelRun artifact (trainer/curves.py writes it)."""

from __future__ import annotations

from pathlib import Path

import pydantic

from cxr.components.report.page.content import Stage, Training
from cxr.components.report.redaction import without_paths
from cxr.core.errors import CxrError
from cxr.core.spans import span

FILE = "history.json"
_RANDOM = "random weights"  # how `weights_note` began where an older version kept nothing else of it


class _Stage(pydantic.BaseModel):
    name: str
    rows: list[dict[str, float]]
    best_epoch: int | None = None
    stopped_early: bool = False
    resumed_from: int = 0


class _Score(pydantic.BaseModel):
    loss: float
    accuracy: float


class _Validation(pydantic.BaseModel):
    methods: dict[str, _Score] = {}
    members: dict[str, _Score] = {}


class _History(pydantic.BaseModel):
    stages: list[_Stage]
    backbone: str = ""
    weights_note: str = ""
    random_weights: bool | None = None  # None: an older version did not keep it
    precision: str = ""
    kept_stage: str | None = None
    images: dict[str, int] = {}
    seconds: float | None = None
    method: str = ""
    shares: list[float] | None = None  # in the order of the members
    validation: _Validation = _Validation()


def read_training(folder: str) -> Training:
    """Returns how a model was trained.

    Args:
      folder: URI of the ModelRun artifact.

    Raises:
      CxrError: There is no history, or a damaged one.
    """
    path = Path(folder) / FILE
    try:
        history = _History.model_validate_json(path.read_bytes())
    except (OSError, pydantic.ValidationError) as error:
        raise CxrError(f"{path}: not the history of a training ({type(error).__name__}); train the model again") from error
    facts = {
        "backbone": history.backbone,
        "weights": without_paths(history.weights_note),
        "precision": history.precision,
        "weights of stage": history.kept_stage or "",
        "images": ", ".join(f"{split} {count}" for split, count in history.images.items()),
        "training took": span(history.seconds) if history.seconds is not None else "",
    }
    scores = history.validation.members | history.validation.methods
    return Training(
        tuple(Stage(s.name, tuple(s.rows), s.best_epoch, s.stopped_early, s.resumed_from) for s in history.stages),
        {key: value for key, value in facts.items() if value},
        history.method,
        dict(zip(history.validation.members, history.shares or (), strict=False)),  # no names without a validation split
        {name: (score.loss, score.accuracy) for name, score in scores.items()},
        history.weights_note.startswith(_RANDOM) if history.random_weights is None else history.random_weights,
    )
