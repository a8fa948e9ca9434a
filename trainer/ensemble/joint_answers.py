"""Joins the members' answers as an exported ensemble does, without running it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cxr.trainer import artifact
from cxr.trainer.models.keras_files import load_model


def joint_answers(model: str, members: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Returns the probabilities of an ensemble, float32 [images, classes].

    Args:
      model: URI of its Model artifact.
      members: The members' probabilities, each [images, classes], in the order in which they were joined.

    Raises:
      CxrError: The artifact holds no ensemble, or one that an older version joined.
    """
    return np.asarray(load_model(artifact.joint_path(model))([np.asarray(p, np.float32) for p in members], training=False))
