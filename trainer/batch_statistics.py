"""Gives a backbone the batch statistics that its configuration asks for, from images without their labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from cxr.trainer import inputs
from cxr.trainer.cached_features import cached
from cxr.trainer.encoded_images import EncodedImages
from cxr.trainer.model_config import Augmentation, Model
from cxr.trainer.models import bn_recalibration
from cxr.trainer.models.assembly import Assembly


def recalibrate(assembly: Assembly, config: Model, images: EncodedImages, decode: inputs.Decoder, file: Path | None = None) -> None:
    """Replaces the backbone's moving statistics by those of images.

    Args:
      assembly: Whose backbone.
      config: Kind of recalibration, not "none", and the seed of the choice of images.
      images: Encoded; some of them are used.
      decode: Of one image.
      file: Where an interrupted run's statistics are kept, .npz; None: nowhere.

    Raises:
      CxrError: A statistic that is no finite number.
    """
    network = assembly.backbone.network
    variables = [v for layer in bn_recalibration.batch_norm_layers(network) for v in (layer.moving_mean, layer.moving_variance)]

    def statistics() -> list[npt.NDArray[np.float32]]:
        chosen = np.random.default_rng(config.seed).permutation(len(images))[: bn_recalibration.MAX_IMAGES]
        size = min(bn_recalibration.BATCH, len(chosen))
        batches = len(chosen) // size  # all of one size: the rest is left out
        data = inputs.in_order(images[chosen], decode, augmentation=Augmentation()).batch(size, drop_remainder=True)
        if config.bn_recalibration == "per_layer":
            bn_recalibration.recalibrate_layers(assembly.extractor, network, next(iter(data)))
        else:
            bn_recalibration.recalibrate_channels(assembly.extractor, network, data, batches)
        return [variable.numpy() for variable in variables]

    for variable, value in zip(variables, cached(file, statistics), strict=True):
        variable.assign(value)
