"""Heads that are trained on some of the images and asked about the others."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from cxr.core import progress
from cxr.core.folds import Fold
from cxr.core.stored_rows import Array
from cxr.trainer.head_stage import LabelledFeatures, answers_of, train_head
from cxr.trainer.model_config import Model, Stage


def out_of_fold(
    config: Model, stage: Stage, classes: int, data: LabelledFeatures, val: LabelledFeatures | None, folds: Sequence[Fold]
) -> Array:
    """Returns answers to images that the answering head has not learnt from.

    Args:
      config: Head, loss, weights and seed: those of the head that learns from all of them.
      stage: How it is trained.
      classes: How many.
      data: Features of the images.
      val: What early stopping watches in every fold, if there is such a split; no image of `data`.
      folds: Each image is asked about in exactly one.

    Returns:
      Probabilities, float32 [images, classes].

    Raises:
      CxrError: See `run_stage`.
    """
    answers = np.full([len(data.labels), classes], np.nan, np.float32)
    for number, fold in enumerate(folds, 1):
        progress.report("out-of-fold answers", number - 1, len(folds))
        keras.utils.set_random_seed(config.seed)
        head, _ = train_head(config, stage, classes, data.take(fold.train), val)
        answers[fold.test] = answers_of(head, data.features[0, fold.test])
    return answers
