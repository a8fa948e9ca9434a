"""A trained model's answers on its splits, kept with it for the ensemble."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cxr.core.counts import how_many
from cxr.core.errors import CxrError
from cxr.trainer import artifact, files


@dataclass(frozen=True)
class Predictions:
    """A model's answers on one split, in reading order."""

    content_hash: npt.NDArray[np.str_]  # [images]
    label_index: npt.NDArray[np.int64]  # [images]
    probabilities: npt.NDArray[np.float32]  # [images, classes]
    patients: npt.NDArray[np.int64]  # [images], numbers: images with the same one are of the same patient
    unlike_training: npt.NDArray[np.float32] | None = None  # [images], output UNLIKE_TRAINING; None: the model has none


def save(
    uri: str,
    split: str,
    content_hash: npt.ArrayLike,
    label_index: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    patients: npt.ArrayLike | None = None,
    unlike_training: npt.ArrayLike | None = None,
) -> None:
    """Keeps a model's answers on a split for the ensemble.

    Args:
      uri: Model artifact.
      split: Name of the split.
      content_hash: [images] str or bytes, which image each row is of.
      label_index: [images] or [images, 1], integers.
      probabilities: [images, classes], floats, calibrated.
      patients: [images], anything that tells them apart; numbers are kept in their place. None: each image is of another one.
      unlike_training: [images], floats; None: the model has no such output.

    Raises:
      ValueError: They differ in length.
    """
    hashes = np.asarray([h.decode() if isinstance(h, bytes) else str(h) for h in np.ravel(np.asarray(content_hash))], dtype=np.str_)
    labels = np.ravel(np.asarray(label_index)).astype(np.int64)
    shares = np.asarray(probabilities, dtype=np.float32)
    numbers = np.unique(hashes if patients is None else np.asarray(patients), return_inverse=True)[1].astype(np.int64)
    arrays: dict[str, Any] = {"content_hash": hashes, "label_index": labels, "probabilities": shares, "patients": numbers}
    if unlike_training is not None:
        arrays["unlike_training"] = np.asarray(unlike_training, dtype=np.float32)
    if len({len(array) for array in arrays.values()}) > 1:
        raise ValueError(f"{split}: " + ", ".join(f"{key} of {how_many(len(array), 'image')}" for key, array in arrays.items()))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    files.write_bytes(artifact.predictions_path(uri, split), buffer.getvalue())


def load(uri: str, split: str) -> Predictions:
    """Reads what `save` wrote.

    Raises:
      CxrError: There is none.
    """
    path = artifact.predictions_path(uri, split)
    if not tf.io.gfile.exists(path):
        raise CxrError(f"{path}: this model saved no predictions on the split {split!r}; train it again")
    with np.load(io.BytesIO(files.read_bytes(path)), allow_pickle=False) as arrays:
        return Predictions(
            arrays["content_hash"], arrays["label_index"], arrays["probabilities"], arrays["patients"], arrays.get("unlike_training")
        )


def are_saved(uri: str, split: str) -> bool:
    """Tells whether `save` wrote any."""
    return bool(tf.io.gfile.exists(artifact.predictions_path(uri, split)))
