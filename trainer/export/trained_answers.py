"""What a network answered where it was trained, and whether the one that is exported answers the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cxr.core import features
from cxr.core.errors import CxrError
from cxr.trainer import devices
from cxr.trainer.transform_graph import TransformGraph

TOLERANCE = 1e-4  # graph and eager execution fuse floating-point operations differently
GPU_TOLERANCE = 1e-2  # TensorFloat-32 convolutions keep 10 bits of the mantissa
MIXED_TOLERANCE = 0.05  # float16 keeps 11 bits; a network with a layer missing is off by several times as much
COMPARED_IMAGES = 16
_BATCH = 4  # Keras keeps what every layer made until the last has answered: a hundred megabytes per image of the largest backbones


@dataclass(frozen=True)
class TrainedAnswers:
    """Real images with what the network answered where it was trained."""

    images: Sequence[bytes]  # encoded
    probabilities: npt.NDArray[np.float32]  # [images, classes]
    tolerance: float | None = None  # largest mean absolute difference; None: what the devices allow


def compare(model: keras.Model, transform: TransformGraph, trained: TrainedAnswers, name: str) -> None:
    """Holds a network that is about to be exported to what the trained one answered; it may be a faulty copy.

    The requests recorded with an export are answered by the exported network itself and do not tell. Whether the SavedModel answers as
    that network does is the infrastructure check's question, in a server.

    Args:
      model: Of `Network.model`.
      transform: What the images go through.
      trained: The answers.
      name: Of the model, for the error.

    Raises:
      CxrError: They differ.
    """
    encoded = [trained.images[first : first + _BATCH] for first in range(0, len(trained.images), _BATCH)]
    parts = [model(transform.images(tf.constant(images)), training=False)[features.PROBABILITIES] for images in encoded]
    answered = np.concatenate([np.asarray(part) for part in parts])
    difference = float(np.mean(np.abs(answered - trained.probabilities)))
    allowed = trained.tolerance or (GPU_TOLERANCE if devices.has_gpu() else TOLERANCE)
    if not difference <= allowed:  # NaN is none either
        raise CxrError(
            f"{name}: the network to export is not the one that was trained: its probabilities for {len(trained.images)} images "
            f"differ by {difference:.3g} on average, {allowed:g} is allowed. A fault of the trainer: report it with the configuration"
        )
