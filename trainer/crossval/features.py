"""Features of a frozen backbone, computed once for all folds and kept under the hash of all that they hang on.

Labels play no part in them: folds differ in heads alone. The batch statistics of a backbone that is recalibrated come from all images
that were read, those that a fold asks about included, without their labels; so do the constants that Transform's analyzers found.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from cxr.trainer import devices, inputs
from cxr.trainer.batch_statistics import recalibrate
from cxr.trainer.cached_features import BatchedModel
from cxr.trainer.head_stage import Array
from cxr.trainer.model_config import Model
from cxr.trainer.models.assembly import assemble
from cxr.trainer.models.weights import weights_version
from cxr.trainer.training_state import fingerprint
from cxr.trainer.transform_graph import TransformGraph

# What the features do not hang on.
_HEAD_ONLY = {"head_training", "fine_tuning", "loss", "class_weights", "source_weights", "all_gpus"}


def features_key(config: Model, images: inputs.Split, transform: TransformGraph, identity: Sequence[str]) -> str:
    """Returns a name for the features of images: equal for equal ones.

    Args:
      config: What makes them.
      images: Their pixels count, by content hash; their labels do not.
      transform: What the images go through before.
      identity: What else tells them apart (the version of the code).
    """
    made_by = config.model_dump(mode="json", exclude=_HEAD_ONLY) | {"head": [config.head.pooling, config.head.pool_size]}
    libraries = [keras.__version__, tf.__version__]
    return fingerprint([made_by, transform.fingerprint, images.content_hash, weights_version(config), *identity, *libraries])


def frozen_features(name: str, config: Model, images: inputs.Split, transform: TransformGraph, folder: Path) -> tuple[Array, str]:
    """Computes the features of all images, or reads those of an earlier call; an interrupted one goes on where it stopped.

    Args:
      name: Of the model, for the progress report.
      config: Backbone, weights, adapter, pooling, recalibration, augmentation.
      images: Of all splits that take part.
      transform: Decodes them.
      folder: For these features only.

    Returns:
      float32 [1 + variants, images, width], and a remark on where the backbone's weights came from.

    Raises:
      CxrError: Weights that cannot be had, sizes that do not fit, features that are not finite.
    """
    copies, done, note = 1 + config.augmentation.variants, folder / "done", folder / "weights.txt"
    rows = folder / "features.float32"
    if not done.exists():
        keras.utils.set_random_seed(config.seed)
        with devices.computing_in(devices.precision(config.mixed_precision)):
            assembly = assemble(config, transform.image_size)
            if config.bn_recalibration != "none":
                recalibrate(assembly, config, images.images, transform.image, folder / "bn_recalibration.npz")

            def every(first: int) -> tf.data.Dataset:
                return inputs.in_order(
                    images.images,
                    transform.image,
                    augmentation=config.augmentation,
                    variants=copies - 1,
                    seed=config.seed,
                    first=first,
                )

            BatchedModel(assembly.extractor).all(every, copies * len(images), name, rows)
        folder.mkdir(parents=True, exist_ok=True)
        note.write_text(assembly.backbone.note)
        done.touch()
        keras.backend.clear_session()  # the next backbone needs the memory
    return np.fromfile(rows, np.float32).reshape(copies, len(images), -1), note.read_text()
