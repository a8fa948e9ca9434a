"""Gives a backbone the batch statistics that its configuration asks for, from images without their labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from cxr.core.stored_rows import Array
from cxr.trainer import decoded_images
from cxr.trainer.cached_features import cached
from cxr.trainer.encoded_images import EncodedImages
from cxr.trainer.feature_cache.shards import key
from cxr.trainer.feature_cache.store import Group
from cxr.trainer.model_config import Augmentation, Model
from cxr.trainer.models import bn_recalibration
from cxr.trainer.models.assembly import Assembly


def recalibrate(
    assembly: Assembly,
    config: Model,
    images: EncodedImages,
    decode: decoded_images.Decoder,
    file: Path | None = None,
    group: Group | None = None,
) -> list[Array]:
    """Replaces the backbone's moving statistics by those of images.

    Args:
      assembly: Whose backbone.
      config: Kind of recalibration, not "none", and the seed of the choice of images.
      images: Encoded; some of them are used.
      decode: Of one image.
      file: Where an interrupted run's statistics are kept, .npz; None: nowhere.
      group: Rows of the feature cache where those of the same images are kept; None: nowhere.

    Returns:
      Each layer's moving mean and variance.

    Raises:
      CxrError: A statistic that is no finite number.
    """
    network = assembly.backbone.network
    variables = _variables(assembly)

    chosen = np.random.default_rng(config.seed).permutation(len(images))[: bn_recalibration.MAX_IMAGES]
    size = min(bn_recalibration.BATCH, len(chosen))
    batches = len(chosen) // size  # all of one size: the rest is left out
    if config.bn_recalibration == "per_layer":
        batches = 1
    chosen = chosen[: batches * size]

    def statistics() -> list[Array]:
        data = decoded_images.in_order(images[chosen], decode, augmentation=Augmentation()).batch(size)
        if config.bn_recalibration == "per_layer":
            bn_recalibration.recalibrate_layers(assembly.extractor, network, next(iter(data)))
        else:
            bn_recalibration.recalibrate_channels(assembly.extractor, network, data, batches)
        return [variable.numpy() for variable in variables]

    def kept() -> list[Array]:
        if group is None or not variables:
            return statistics()
        names = [key(config.bn_recalibration.encode(), *images[chosen])]
        ends = np.cumsum([math.prod(variable.shape) for variable in variables])
        stored, found = group.read(names, int(ends[-1]))
        if found.all():
            row = np.asarray(stored)
        else:
            row = np.concatenate([values.ravel() for values in statistics()])[np.newaxis]
            group.add(names, row)
        return [values.reshape(variable.shape) for values, variable in zip(np.split(row[0], ends[:-1]), variables, strict=True)]

    values = cached(file, kept)
    set_statistics(assembly, values)
    return values


def set_statistics(assembly: Assembly, values: Sequence[Array]) -> None:
    """Gives the backbone what `recalibrate` returned for another one of the same layers.

    Raises:
      ValueError: It has other layers.
    """
    for variable, value in zip(_variables(assembly), values, strict=True):
        variable.assign(value)


def _variables(assembly: Assembly) -> list[keras.Variable]:
    layers = bn_recalibration.batch_norm_layers(assembly.backbone.network)
    return [variable for layer in layers for variable in (layer.moving_mean, layer.moving_variance)]
