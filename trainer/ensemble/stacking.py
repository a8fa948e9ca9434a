"""Trains the Dense layer of the stacking ensemble on the members' predictions."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from cxr.core.errors import CxrError
from cxr.trainer.ensemble.voting import Stacking
from cxr.trainer.losses import make_loss, make_optimizer
from cxr.trainer.model_config import Ensemble, Stage
from cxr.trainer.stages import StageHistory

Labelled = tuple[list[npt.NDArray[np.float32]], npt.NDArray[np.float32]]  # each member's [images, classes], one-hot [images, classes]


def train_stacking(config: Ensemble, train: Labelled, val: Labelled | None) -> tuple[Stacking, StageHistory]:
    """Trains the layer; with a validation split it ends with the weights of lowest loss there, those it started with among them.

    Args:
      config: Start, loss, stage and seed are used.
      train: The members' predictions on the training split and its labels.
      val: The same of the validation split.

    Returns:
      The layer and its history; best_epoch 0 stands for the weights it started with.

    Raises:
      CxrError: A callback is to watch the validation split and there is none.
    """
    keras.utils.set_random_seed(config.seed)
    inputs = [keras.Input([p.shape[1]]) for p in train[0]]
    layer = Stacking(train[1].shape[1], config.start, config.seed, name="vote")
    model = keras.Model(inputs, layer(inputs))
    model.compile(optimizer=make_optimizer(config.stage.optimizer), loss=make_loss(config.loss), metrics=["accuracy"])
    callbacks = _callbacks(config.stage, val is not None)
    keep_best = _KeepBest(val) if val is not None else None
    history = model.fit(
        *train,
        validation_data=val,
        epochs=config.stage.epochs,
        batch_size=config.stage.batch_size,
        callbacks=[*callbacks, keep_best] if keep_best else callbacks,
        verbose=0,
    ).history
    rows = [{name: float(values[epoch]) for name, values in history.items()} for epoch in range(len(history["loss"]))]
    stopped_early = len(rows) < config.stage.epochs
    return layer, StageHistory(
        "stacking", rows, resumed_from=0, stopped_early=stopped_early, best_epoch=keep_best.epoch if keep_best else None
    )


class _KeepBest(keras.callbacks.Callback):
    """Keras's own callbacks leave out the weights before the first step; here these are the soft vote, hard to beat."""

    def __init__(self, val: Labelled) -> None:
        super().__init__()
        self._val = val

    def on_train_begin(self, logs: Any = None) -> None:
        self._loss = self.model.evaluate(*self._val, verbose=0, return_dict=True)["loss"]
        self._weights, self.epoch = self.model.get_weights(), 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if logs["val_loss"] < self._loss:
            self._loss, self._weights, self.epoch = logs["val_loss"], self.model.get_weights(), epoch + 1

    def on_train_end(self, logs: Any = None) -> None:
        self.model.set_weights(self._weights)


def _callbacks(stage: Stage, has_validation: bool) -> list[keras.callbacks.Callback]:
    callbacks = []
    for field in ("early_stopping", "reduce_on_plateau"):
        watched = getattr(stage, field)
        if watched and watched.monitor.startswith("val_") and not has_validation:
            raise CxrError(f"ensemble.stage.{field}.monitor: {watched.monitor!r} needs a validation split; add one, or monitor 'loss'")
    if stop := stage.early_stopping:
        callbacks.append(keras.callbacks.EarlyStopping(stop.monitor, patience=stop.patience, restore_best_weights=stop.restore_best))
    if plateau := stage.reduce_on_plateau:
        callbacks.append(
            keras.callbacks.ReduceLROnPlateau(
                plateau.monitor, factor=plateau.factor, patience=plateau.patience, min_lr=plateau.min_learning_rate
            )
        )
    return callbacks
