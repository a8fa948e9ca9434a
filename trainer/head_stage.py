"""The head stage: a head learns from a frozen backbone's cached features. Training, out-of-fold answers and cross-validation share it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt

from cxr.core.stored_rows import Array, FloatRows
from cxr.trainer.feature_epochs import ROWS_AT_ONCE, Examples, FeatureEpochs
from cxr.trainer.history import Row, StageHistory
from cxr.trainer.losses import image_weights
from cxr.trainer.model_config import Model, Stage
from cxr.trainer.models.heads import build_head
from cxr.trainer.stages import run_stage


@dataclass(frozen=True)
class LabelledFeatures:
    """What a frozen backbone and its pooling make of images.

    Attributes:
      features: float32 [1 + variants, images, width]; first of the images as they are, then of each augmented variant.
      labels: int64 [images].
      sources: [images], the collections that they come from.
    """

    features: FloatRows
    labels: npt.NDArray[np.int64]
    sources: npt.NDArray[np.str_]

    def take(self, which: npt.NDArray[np.int64]) -> LabelledFeatures:
        """Returns some of the images, by position, with their variants."""
        return LabelledFeatures(self.features[:, which], self.labels[which], self.sources[which])


def train_head(
    config: Model,
    stage: Stage,
    classes: int,
    train: LabelledFeatures,
    val: LabelledFeatures | None,
    *,
    state_dir: Path | None = None,
    on_epoch: Callable[[str, int, Row], None] = lambda *_: None,
) -> tuple[keras.Model, StageHistory]:
    """Builds a head and trains it.

    Args:
      config: Head, loss, weights of classes and sources, and seed are used.
      stage: How it is trained.
      classes: How many.
      train: What it learns from.
      val: What early stopping and learning-rate reduction watch, if there is such a split.
      state_dir: See `run_stage`.
      on_epoch: See `run_stage`.

    Returns:
      float32 [batch, width] to probabilities [batch, classes], and how the training went.

    Raises:
      CxrError: See `run_stage`.
    """
    eye = np.eye(classes, dtype=np.float32)
    head = build_head(config.head, train.features.shape[2], classes, train.features[0])
    weights = image_weights(config, train.labels, train.sources, classes)

    validation = Examples(val.features[:1], eye[val.labels]) if val else None
    data = FeatureEpochs(Examples(train.features, eye[train.labels], weights), validation, stage.batch_size, config.seed)
    return head, run_stage("head", head, stage, config.loss, data, setting="head_training", state_dir=state_dir, on_epoch=on_epoch)


def answers_of(head: keras.Model, features: FloatRows) -> Array:
    """Returns a head's probabilities, float32 [images, classes], for features [images, width]."""
    parts = (np.asarray(features[i : i + ROWS_AT_ONCE]) for i in range(0, len(features), ROWS_AT_ONCE))
    return np.concatenate([np.asarray(head(part, training=False)) for part in parts])
