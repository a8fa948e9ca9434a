"""A frozen backbone runs once per image and augmented variant; what the head gets from it is cached."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cxr.core import progress
from cxr.core.errors import CxrError

BATCH = 32


def apply_in_batches(model: keras.Model, images: tf.data.Dataset, count: int, what: str) -> npt.NDArray[np.float32]:
    """Returns a model's answers for images, in their order.

    The last batch is filled up, so that a large backbone is traced once.

    Args:
      model: float32 [batch, height, width, 3] -> [batch, width].
      images: float32 [height, width, 3] each.
      count: How many images there are.
      what: For the progress report.

    Returns:
      float32 [count, width].
    """
    shape = images.element_spec.shape
    call = tf.function(
        lambda batch: tf.cast(model(batch, training=False), tf.float32), input_signature=[tf.TensorSpec([BATCH, *shape])], autograph=False
    )
    answers = np.empty([count, model.output.shape[-1]], np.float32)
    done, begin = 0, time.monotonic()
    for batch in images.batch(BATCH).prefetch(2):
        rows = len(batch)
        answers[done : done + rows] = call(tf.pad(batch, [[0, BATCH - rows], [0, 0], [0, 0], [0, 0]]))[:rows]
        done += rows
        rate = done / (time.monotonic() - begin)
        progress.report(f"{what}: {rate:.1f} images/s, about {(count - done) / rate:.0f} s left", done, count)
    if not np.isfinite(answers).all():
        raise CxrError(f"{what}: the backbone yields numbers that are not finite; check its weights, input_adapter and bn_recalibration")
    return answers


def cached(file: Path | None, make: Callable[[], npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Returns an array of an earlier, interrupted run, or makes it and keeps it.

    Args:
      file: .npy file; None: nothing is kept.
      make: Makes the array.
    """
    if file is None:
        return make()
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(".unfinished")
        with open(unfinished, "wb") as stream:
            np.save(stream, make())
        unfinished.rename(file)
    return np.load(file, allow_pickle=False)
