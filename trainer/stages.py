"""One stage of training, of a head on cached features or of a whole network: compile, fit, stop early, resume."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import keras
import tensorflow as tf

from cxr.core import progress
from cxr.core.errors import CxrError
from cxr.trainer.history import Row, StageHistory
from cxr.trainer.losses import make_loss, make_optimizer
from cxr.trainer.model_config import Loss, Stage
from cxr.trainer.training_state import TrainingState


class Epochs(Protocol):
    """What a stage trains on, and how its epochs are run."""

    @property
    def validation(self) -> object | None:
        """What is asked about after each epoch; None: nothing."""

    def fit(self, model: keras.Model, epochs: int, first: int, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        """Trains a compiled model, from the epoch with the number `first` (counted from 0) on."""


@dataclass(frozen=True)
class StageData:
    """Batches, with which Keras trains."""

    epochs_from: Callable[[int], tf.data.Dataset]  # number of epochs behind us -> batches of the others, with weights or without
    steps: int  # batches of an epoch
    validation: tf.data.Dataset | None

    def fit(self, model: keras.Model, epochs: int, first: int, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        """See `Epochs`."""
        model.fit(
            self.epochs_from(first),
            epochs=epochs,
            initial_epoch=first,
            steps_per_epoch=self.steps,
            validation_data=self.validation,
            callbacks=list(callbacks),
            shuffle=False,  # the batches come shuffled
            verbose=0,
        )


def run_stage(
    name: str,
    model: keras.Model,
    stage: Stage,
    loss: Loss,
    data: Epochs,
    *,
    setting: str = "",
    state_dir: Path | None = None,
    on_epoch: Callable[[str, int, Row], None] = lambda *_: None,
) -> StageHistory:
    """Trains a model in place.

    Args:
      name: Of the stage, for people.
      model: What its `trainable` flags say is trained.
      stage: Epochs, optimizer and callbacks.
      loss: What is minimised.
      data: What it trains on.
      setting: Where the stage stands in the configuration, for errors.
      state_dir: Where the state of an interrupted run is, and where this run keeps its own; None: it cannot be resumed.
      on_epoch: Called with the stage's name, the epoch (counted from 1) and its row, for resumed epochs too.

    Raises:
      CxrError: A monitor needs a validation split that is not there, or the loss is no finite number.
    """
    stage.check_monitors(setting, has_validation=data.validation is not None)
    watched = _watched(stage)
    state = TrainingState(state_dir, stage.epochs, watched)
    # XLA would take minutes to compile the large backbones, for a few epochs.
    model.compile(optimizer=make_optimizer(stage.optimizer), loss=make_loss(loss), metrics=["accuracy"], jit_compile=False)
    _make_variables(model)
    state.restore(model)
    resumed_from = len(state.rows)
    for epoch, row in enumerate(state.rows, 1):
        on_epoch(name, epoch, row)
    if state.finished:
        state.restore_callbacks()
        for callback in watched:
            if getattr(callback, "restore_best_weights", False) and callback.best_weights is not None:
                model.set_weights(callback.best_weights)
    else:
        data.fit(model, stage.epochs, resumed_from, [*watched, _Rows(name, stage.epochs, state.rows, on_epoch), state])
    early = next((callback for callback in watched if isinstance(callback, keras.callbacks.EarlyStopping)), None)
    restored = early is not None and early.restore_best_weights and early.best_weights is not None
    return StageHistory(
        name,
        state.rows,
        resumed_from,
        stopped_early=len(state.rows) < stage.epochs,
        best_epoch=int(early.best_epoch) + 1 if early is not None and restored else None,
    )


def _make_variables(model: keras.Model) -> None:
    """Makes what Keras would make in the first step, which TensorFlow would then trace twice: half a minute more for EfficientNetB7."""
    model.optimizer.build(model.trainable_variables)
    if not tf.distribute.has_strategy():  # else Keras makes them ahead
        nothing = tf.zeros([1, *model.output_shape[1:]])
        model.compute_metrics(None, nothing, nothing)
        model.reset_metrics()


def _watched(stage: Stage) -> list[keras.callbacks.Callback]:
    callbacks: list[keras.callbacks.Callback] = []
    if early := stage.early_stopping:
        callbacks.append(
            keras.callbacks.EarlyStopping(
                early.monitor, patience=early.patience, mode=_mode(early.monitor), restore_best_weights=early.restore_best
            )
        )
    if plateau := stage.reduce_on_plateau:
        callbacks.append(
            keras.callbacks.ReduceLROnPlateau(
                plateau.monitor,
                factor=plateau.factor,
                patience=plateau.patience,
                min_lr=plateau.min_learning_rate,
                mode=_mode(plateau.monitor),
            )
        )
    return callbacks


def _mode(monitor: str) -> str:
    return "max" if monitor.endswith("accuracy") else "min"


class _Rows(keras.callbacks.Callback):
    """Turns Keras's logs into rows, reports them, and stops where the loss is lost."""

    def __init__(self, name: str, epochs: int, rows: list[Row], on_epoch: Callable[[str, int, Row], None]) -> None:
        super().__init__()
        self._name, self._epochs, self._rows, self._on_epoch = name, epochs, rows, on_epoch

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        progress.report(self._name, len(self._rows), self._epochs)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._begin = time.monotonic()
        # On several devices it is a MirroredVariable, of which float() makes nothing.
        self._learning_rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        metrics = ("loss", "accuracy", "val_loss", "val_accuracy")
        row = {key: float(logs[key]) for key in metrics if logs and key in logs}
        if lost := [f"{key} is {value}" for key, value in row.items() if not math.isfinite(value)]:
            raise CxrError(f"{self._name}: {', '.join(lost)} in epoch {epoch + 1}; lower the learning_rate or check the images")
        self._rows.append({**row, "learning_rate": self._learning_rate, "seconds": round(time.monotonic() - self._begin, 3)})
        self._on_epoch(self._name, epoch + 1, self._rows[-1])
        shown = ", ".join(f"{key.replace('val_', 'validation ')} {value:.3f}" for key, value in row.items())
        progress.report(f"{self._name}: {shown}", epoch + 1, self._epochs)
