"""What interrupted training resumes from: everything about the last finished epoch of a stage, in one folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import keras
import numpy as np

from cxr.core import progress
from cxr.trainer.history import Row

COUNTERS = ("wait", "best", "best_epoch", "stopped_epoch", "cooldown_counter")  # of Keras's callbacks that count epochs


class TrainingState(keras.callbacks.Callback):
    """Keeps the state after each epoch, and restores it.

    It stands last among the callbacks. Kept are the variables of model and optimizer (dropout's random state and the learning rate among
    them), the rows of the history, the counters and best weights of early stopping and of the learning-rate reduction. Shuffling and
    augmentation need nothing: they depend on the epoch's number alone. Folders of epochs are written under another name and renamed, so
    that a half-written one is never read.

    Attributes:
      rows: One per finished epoch.
      finished: Whether there is nothing left to train.
    """

    def __init__(self, folder: Path | None, epochs: int, watched: Sequence[keras.callbacks.Callback]) -> None:
        """Reads what there is.

        Args:
          folder: Of this stage; None: nothing is kept.
          epochs: How many the stage has.
          watched: Callbacks whose counters belong to the state.
        """
        super().__init__()
        self._folder, self._epochs, self._watched = folder, epochs, list(watched)
        self._latest, saved = _kept(folder)
        self.rows: list[Row] = saved["rows"]
        self.finished: bool = saved["stopped"] or len(self.rows) >= epochs
        self._counters: list[dict[str, Any]] = saved["counters"]

    def restore(self, model: keras.Model) -> None:
        """Gives model and optimizer the weights they had; the optimizer has its variables already.

        A state of other variables, as those of another precision, is dropped: the stage begins anew.
        """
        if self._folder is None or self._latest is None:
            return
        with np.load(self._latest / "variables.npz", allow_pickle=False) as arrays:
            values = [arrays[f"arr_{i}"] for i in range(len(arrays.files))]
        variables = _variables(model)
        if [value.shape for value in values] != [tuple(variable.shape) for variable in variables]:
            _drop(self._folder, self._latest, "is of another network or optimizer")
            self._latest, self.rows, self.finished, self._counters = None, [], False, []
            return
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    def restore_callbacks(self) -> None:
        """Gives the watched callbacks their counters and best weights."""
        for number, (callback, counters) in enumerate(zip(self._watched, self._counters, strict=False)):
            for name, value in counters.items():
                setattr(callback, name, value)
            best = self._latest / f"best-{number}.npz" if self._latest else None
            if best and best.exists():
                with np.load(best, allow_pickle=False) as arrays:
                    callback.best_weights = [arrays[f"arr_{i}"] for i in range(len(arrays.files))]

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """The watched callbacks have just reset themselves."""
        self.restore_callbacks()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes the state; the row of this epoch is in `rows` already."""
        if self._folder is None:
            return
        target, unfinished = self._folder / f"epoch-{epoch + 1:05d}", self._folder / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        np.savez(unfinished / "variables.npz", *(keras.ops.convert_to_numpy(variable) for variable in _variables(self.model)))
        counters = []
        for number, callback in enumerate(self._watched):
            counters.append({name: _plain(getattr(callback, name)) for name in COUNTERS if hasattr(callback, name)})
            if getattr(callback, "best_weights", None) is not None:
                np.savez(unfinished / f"best-{number}.npz", *callback.best_weights)
        state = {"rows": self.rows, "stopped": bool(self.model.stop_training), "counters": counters}
        (unfinished / "state.json").write_text(json.dumps(state), encoding="utf-8")
        unfinished.rename(target)
        if self._latest:
            shutil.rmtree(self._latest)
        self._latest = target


def _kept(folder: Path | None) -> tuple[Path | None, dict[str, Any]]:
    """Returns the folder of the last finished epoch and its state; what is damaged, as after a power loss, goes."""
    latest = max(folder.glob("epoch-*"), default=None) if folder else None
    if folder is None or latest is None:
        return None, {"rows": [], "stopped": False, "counters": []}
    try:
        state = json.loads((latest / "state.json").read_text(encoding="utf-8"))
        for file in latest.glob("*.npz"):
            with ZipFile(file) as arrays:
                if arrays.testzip():
                    raise BadZipFile(file.name)
    except (ValueError, BadZipFile, FileNotFoundError):
        _drop(folder, latest, "is damaged")
        return _kept(folder)
    return latest, state


def _drop(folder: Path, latest: Path, reason: str) -> None:
    progress.report(f"{folder.name}: what an interrupted run had kept of {latest.name} {reason}; this stage begins anew", 0)
    shutil.rmtree(latest)


def _variables(model: keras.Model) -> list[keras.Variable]:
    """All that changes in training. `save_weights` would leave out the states of dropout's random numbers."""
    return [*model.variables, *model.optimizer.variables]


def _plain(value: Any) -> float | None:
    return None if value is None else float(value)
