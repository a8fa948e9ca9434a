"""Features of a frozen backbone, computed once for all folds and kept under the hash of all that they hang on.

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
from pydantic import Field

from cxr.core.stored_rows import Array
from cxr.core.strict_model import StrictModel
from cxr.trainer import devices, inputs
from cxr.trainer.batch_statistics import recalibrate
from cxr.trainer.cached_features import BATCH, BatchedModel
from cxr.trainer.model_config import Calibrated, Model
from cxr.trainer.models.assembly import assemble
from cxr.trainer.models.weights import weights_version
from cxr.trainer.training_state import fingerprint
from cxr.trainer.transform_graph import TransformGraph

# What the features do not hang on.
_HEAD_ONLY = {"head_training", "fine_tuning", "loss", "class_weights", "source_weights", "all_gpus", *Calibrated.model_fields}


def features_key(config: Model, images: inputs.Split, transform: TransformGraph, identity: Sequence[str]) -> str:
    """Returns a name for the features of images: equal for equal ones.

    Args:
      config: What makes them.
      images: Their pixels count, by content hash; their labels do not.
      transform: What the images go through before.
      identity: What else tells them apart (the version of the code).
    """
    made_by = config.model_dump(mode="json", exclude=_HEAD_ONLY) | {"head": [config.head.pooling, config.head.pool_size]}
    computed = devices.computed_by(devices.possible(config.mixed_precision))
    return fingerprint([made_by, transform.fingerprint, images.content_hash, weights_version(config), *identity, *computed])


class FeatureNotes(StrictModel):
    """What is known of kept features; written last, so that features without it are unfinished."""

    weights_note: str = Field(description="where the backbone's weights came from")
    seconds_per_image: float = Field(description="that the backbone takes for one image, in a batch, as fine-tuning computes")


@dataclass(frozen=True)
class Frozen:
    """Features of all images, and what was learnt in computing them.

    Attributes:
      features: float32 [1 + variants, images, width].
      statistics: File of the backbone's batch statistics; None: it was not recalibrated.
      about: See `FeatureNotes`.
    """

    features: Array
    statistics: Path | None
    about: FeatureNotes


def frozen_features(name: str, config: Model, images: inputs.Split, transform: TransformGraph, folder: Path) -> Frozen:
    """Computes the features of all images, or reads those of an earlier call; an interrupted one goes on where it stopped.

    Args:
      name: Of the model, for the progress report.
      config: Backbone, weights, adapter, pooling, recalibration, augmentation.
      images: Of all splits that take part.
      transform: Decodes them.
      folder: For these features only.

    Raises:
      CxrError: Weights that cannot be had, sizes that do not fit, features that are not finite, a damaged about.json.
    """
    copies, described = 1 + config.augmentation.variants, folder / "about.json"
    rows, statistics = folder / "features.float32", None if config.bn_recalibration == "none" else folder / "bn_recalibration.npz"
    if not described.exists():
        keras.utils.set_random_seed(config.seed)
        precision = devices.precision(config.mixed_precision)
        with devices.computing_in(precision):
            assembly = assemble(config, transform.image_size)
            if statistics:
                recalibrate(assembly, config, images.images, transform.image, statistics)
            extractor = BatchedModel(assembly.extractor)
            with devices.frozen_in(precision):
                extractor.of(images.images, transform.image, config, name, rows, variants=copies - 1)
            blank = tf.zeros([BATCH, *assembly.extractor.input.shape[1:]])
            extractor.batch(blank)  # traces, where all features were there already
            begin = time.monotonic()
            extractor.batch(blank)
            FeatureNotes(weights_note=assembly.backbone.note, seconds_per_image=(time.monotonic() - begin) / BATCH).write(described)
        keras.backend.clear_session()  # the next backbone needs the memory
    about = FeatureNotes.read(described, "remove it: what is missing is computed again")
    return Frozen(np.fromfile(rows, np.float32).reshape(copies, len(images), -1), statistics, about)
