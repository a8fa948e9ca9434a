"""Learning curves: TensorBoard logs and a picture, in a model-run artifact."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from cxr.trainer import files
from cxr.trainer.history import Row, StageHistory

PICTURE, TENSORBOARD = "learning_curves.png", "tensorboard"


class TensorBoardLog:
    """Writes each epoch's figures as they come, so that TensorBoard can follow; epochs of all stages are counted on."""

    def __init__(self, folder: str) -> None:
        self._folder = f"{folder.rstrip('/')}/{TENSORBOARD}"
        self._writers: dict[str, Any] = {}
        self._step = 0

    def __call__(self, stage: str, epoch: int, row: Row) -> None:
        """Writes one epoch's row."""
        self._step += 1
        for key, value in row.items():
            run, name = ("validation", key.removeprefix("val_")) if key.startswith("val_") else ("train", key)
            with self._writer(run).as_default():
                tf.summary.scalar(name, value, step=self._step)
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        """Ends the log."""
        for writer in self._writers.values():
            writer.close()

    def _writer(self, run: str) -> Any:
        if run not in self._writers:
            self._writers[run] = tf.summary.create_file_writer(f"{self._folder}/{run}")
        return self._writers[run]


def log_stages(folder: str, stages: Sequence[StageHistory]) -> None:
    """Writes TensorBoard logs of training that is over, of an ensemble's layer for instance; see `TensorBoardLog`."""
    log = TensorBoardLog(folder)
    try:
        for stage in stages:
            for epoch, row in enumerate(stage.rows, 1):
                log(stage.name, epoch, row)
    finally:
        log.close()


def write_picture(folder: str, stages: Sequence[StageHistory], title: str) -> None:
    """Writes learning_curves.png.

    Args:
      folder: Of any filesystem that `tf.io.gfile` knows.
      stages: In the order in which they ran, one at least.
      title: Above the picture.
    """
    files.write_bytes(f"{folder.rstrip('/')}/{PICTURE}", _picture(stages, title))


def _picture(stages: Sequence[StageHistory], title: str) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    figure.suptitle(title)
    for axes, metric in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        rows = [row for stage in stages for row in stage.rows]
        for key, label in ((metric, "training"), (f"val_{metric}", "validation")):
            if any(key in row for row in rows):
                axes.plot(range(1, len(rows) + 1), [row.get(key, float("nan")) for row in rows], marker=".", label=label)
        begin = 0
        for stage in stages[:-1]:
            begin += len(stage.rows)
            axes.axvline(begin + 0.5, color="grey", linewidth=0.8)
        axes.set(xlabel="epoch (" + ", then ".join(stage.name for stage in stages) + ")", ylabel=metric)
        axes.legend()
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()
