"""Trains the Dense layer of the stacking ensemble on the members' predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from cxr.trainer.ensemble.voting import Stacking
from cxr.trainer.history import StageHistory
from cxr.trainer.model_config import Ensemble
from cxr.trainer.stages import run_stage

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
      CxrError: A callback is to watch the validation split and there is none, or the loss is no finite number.
    """
    keras.utils.set_random_seed(config.seed)
    inputs = [keras.Input([p.shape[1]]) for p in train[0]]
    layer = Stacking(train[1].shape[1], config.start, config.seed, name="vote")
    model = keras.Model(inputs, layer(inputs))
    keep_best = _KeepBest(val) if val is not None else None
    data = _Predictions(train, val, config.stage.batch_size, keep_best)
    history = run_stage("stacking", model, config.stage, config.loss, data, setting="ensemble.stage")
    return layer, replace(history, best_epoch=keep_best.epoch if keep_best else None)


@dataclass(frozen=True)
class _Predictions:
    """What the layer learns from: arrays, which Keras shuffles and deals into batches."""

    train: Labelled
    validation: Labelled | None
    batch_size: int
    keep_best: _KeepBest | None

    def fit(self, model: keras.Model, epochs: int, first: int, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        """See `trainer.stages.Epochs`."""
        kept = [self.keep_best] if self.keep_best else []  # last: it has the last word about the weights
        model.fit(
            *self.train,
            validation_data=self.validation,
            epochs=epochs,
            initial_epoch=first,
            batch_size=self.batch_size,
            callbacks=[*callbacks, *kept],
            verbose=0,
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
