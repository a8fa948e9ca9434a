"""history.json of a ModelRun artifact: how a model was trained.

Trainers write it; a run's report and its page read it, of older versions too.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pydantic
import tensorflow as tf

from cxr.core.errors import CxrError
from cxr.core.validation_errors import all_said
from cxr.trainer import files

FILE = "history.json"  # in the artifact's folder
Row = dict[str, float]  # of an epoch: loss, accuracy, val_loss, val_accuracy, learning_rate, seconds
_RANDOM = "random weights"  # how `weights_note` began where nothing else told; whatever it begins with today is for people alone


@dataclass(frozen=True)
class StageHistory:
    """What became of a stage."""

    name: str
    rows: list[Row]  # one per epoch
    resumed_from: int = 0  # epochs that an interrupted run had finished
    stopped_early: bool = False
    best_epoch: int | None = None  # counted from 1, whose weights were restored; None: those of the last epoch


@dataclass(frozen=True)
class Score:
    """How good answers are on the validation split."""

    loss: float
    accuracy: float


class Validation(pydantic.BaseModel):
    """An ensemble on the validation split; empty without one."""

    model_config = pydantic.ConfigDict(frozen=True)

    methods: dict[str, Score] = {}
    members: dict[str, Score] = {}


class History(pydantic.BaseModel):
    """What the file holds: of what a trainer does not say there is nothing in it. Further keys are not read."""

    model_config = pydantic.ConfigDict(frozen=True)

    name: str = ""  # of the model
    # === Of one network ===
    backbone: str = ""
    weights: str = ""  # as configured
    weights_note: str = ""  # what the backbone really started from, for people
    random_weights: bool | None = None  # that was never trained; None: an older version did not say, see `untrained`
    precision: str = ""
    kept_stage: str | None = None  # whose weights the model has
    model: dict[str, Any] = {}  # settings of the trainer
    images: dict[str, int] = {}  # split: images
    features_from_cache: dict[str, tuple[int, int]] = {}  # split: features of the frozen backbone that the feature cache had, and all
    notes: tuple[str, ...] = ()  # what a user should know
    seconds: float | None = None
    # === Of an ensemble ===
    method: str = ""
    shares: tuple[float, ...] | None = None  # of the vote, in the order of the members
    validation: Validation = Validation()
    data: dict[str, str] = {}  # which data fitted its weights, and which chose
    # === Of both ===
    stages: tuple[StageHistory, ...]  # in the order in which they ran; of an ensemble only where a layer was trained

    @property
    def untrained(self) -> bool:
        """Whether the backbone started from weights that were never trained."""
        return self.weights_note.startswith(_RANDOM) if self.random_weights is None else self.random_weights

    def write(self, folder: str) -> None:
        """Writes the file.

        Args:
          folder: URI of the ModelRun artifact, of any filesystem that `tf.io.gfile` knows.
        """
        text = json.dumps(self.model_dump(exclude_unset=True), indent=2, ensure_ascii=False)  # pydantic's makes null of an infinite loss
        files.write_bytes(_path(folder), (text + "\n").encode())

    @classmethod
    def read(cls, folder: str) -> History:
        """Reads what `write` wrote, also where an older version did.

        Args:
          folder: As there.

        Raises:
          CxrError: There is none, or a damaged one.
        """
        path = _path(folder)
        try:
            return cls.model_validate_json(files.read_bytes(path))
        except tf.errors.OpError as error:
            why = "there is none" if isinstance(error, tf.errors.NotFoundError) else "it cannot be read"
        except pydantic.ValidationError as error:
            why = all_said(error)
        raise CxrError(f"{path}: not the history of a training ({why}); train the model again: cxr run with --no-cache")


def _path(folder: str) -> str:
    return f"{folder.rstrip('/')}/{FILE}"
