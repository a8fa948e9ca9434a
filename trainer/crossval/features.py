"""Features of a frozen backbone, computed once for all folds, and taken from the feature cache where a run or another call computed them.

Labels play no part in them, so that all folds share them. The batch statistics of a backbone that is recalibrated come from all images
that were read, those that a fold asks about included, without their labels; so do the constants that Transform's analyzers found.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from cxr.core.stored_rows import Array
from cxr.trainer import devices
from cxr.trainer.cached_features import BATCH, BatchedModel
from cxr.trainer.encoded_images import EncodedImages
from cxr.trainer.frozen_backbone import FeatureCache, FrozenBackbone
from cxr.trainer.frozen_features import check_steadiness
from cxr.trainer.model_config import Model
from cxr.trainer.models.assembly import assemble
from cxr.trainer.transform_graph import TransformGraph

ALL = "all"  # in place of a split's name


@dataclass(frozen=True)
class AllFeatures:
    """Features of all images, and what was learnt in computing them.

    Attributes:
      features: float32 [1 + variants, images, width].
      statistics: See `FrozenBackbone.statistics`.
      name: Of the features: equal for equal ones (`FrozenBackbone.name_of`).
      weights_note: Where the backbone's weights came from, for people.
      seconds_per_image: That the backbone takes for one image, in a batch, as fine-tuning computes; 0 where it stays frozen.
      state: Folder of what an interrupted call goes on from, no longer needed once the features have been learnt from.
    """

    features: Array
    statistics: Sequence[Array]
    name: str
    weights_note: str
    seconds_per_image: float
    state: Path


def features_of_all(
    name: str, config: Model, images: EncodedImages, transform: TransformGraph, cache: FeatureCache, states: Path
) -> AllFeatures:
    """Computes the features of all images, or takes them from the cache; an interrupted call goes on where it stopped.

    Args:
      name: Of the model in the configuration, for errors.
      config: Backbone, weights, adapter, pooling, recalibration, augmentation.
      images: Of all splits that take part.
      transform: Decodes them.
      cache: Where features are kept.
      states: Folder for what interrupted calls go on from.

    Raises:
      CxrError: Weights that cannot be had, sizes that do not fit, features that are not finite, a backbone that multiplies rounding errors
        where a head is to learn from it.
    """
    variants = config.augmentation.variants
    keras.utils.set_random_seed(config.seed)
    precision = devices.precision(config.mixed_precision)
    with devices.computing_in(precision):
        assembly = assemble(config, transform.image_size)
        frozen = FrozenBackbone(assembly, config, transform, cache, precision)
        if config.bn_recalibration != "none":
            frozen.recalibrate(images, None)
        if config.head_training:  # else all learns from scratch, as in a run
            check_steadiness(frozen, images, f"models.{name}")
        own = frozen.name_of(images, variants)
        state = states / own
        found = AllFeatures(
            features=np.asarray(frozen.features(images, ALL, state / "features.float32", variants)),
            statistics=frozen.statistics,
            name=own,
            weights_note=assembly.backbone.note,
            seconds_per_image=_seconds_per_image(assembly.extractor) if config.fine_tuning else 0.0,
            state=state,
        )
    keras.backend.clear_session()  # the next backbone needs the memory
    return found


def _seconds_per_image(extractor: keras.Model) -> float:
    model, blank = BatchedModel(extractor), tf.zeros([BATCH, *extractor.input.shape[1:]])
    model.batch(blank)  # traces
    begin = time.monotonic()
    model.batch(blank)
    return (time.monotonic() - begin) / BATCH
