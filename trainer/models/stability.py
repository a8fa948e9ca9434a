"""Whether a backbone can be exported at all: one that multiplies rounding errors answers otherwise in every program that runs it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cxr.core.errors import CxrError
from cxr.trainer.cached_features import BatchedModel

# Some eight times what float32 rounds a pixel by. EfficientNetB7 with random weights and re-estimated statistics moves its features by 0.33
# of their spread over smooth pictures at 64 pixels, where an export differs by 7e-4 in its probabilities, and by 0.002 (smooth pictures)
# to 0.011 (the demo's) at 96, where none does.
NOISE = 1e-6
LARGEST = 0.02


def check_stability(extractor: BatchedModel, images: npt.NDArray[np.float32], remedy: str) -> float:
    """Disturbs pixels as rounding does and looks at the features.

    Args:
      extractor: Of the features.
      images: float32 [images, height, width, 3] in [0, 1]; two or more, up to a batch. Some should be unlike the others: a network may be
        steady on what its statistics were taken from and on nothing else. (Random EfficientNetB7 with one variance per layer at 32 pixels
        moves by 1e-4 on training images, by 0.7 with drawn ones among them: its gates multiply a signal the more the stronger it is.)
      remedy: What to change, for the error.

    Returns:
      How far the features move, as a share of their spread over the images (root mean squares); 0 where they do not differ.

    Raises:
      CxrError: More than `LARGEST`.
    """
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)  # its rounding would hide the noise, or multiply it
    try:
        share = _share_moved(extractor, images)
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)
    if share > LARGEST:
        raise CxrError(
            f"the backbone multiplies rounding errors: pixels that differ by {NOISE:g} move its features by {share:.1%} of their spread "
            f"over {len(images)} images ({LARGEST:.1%} is allowed). What is trained on them would not answer so in a server. {remedy}"
        )
    return share


def _share_moved(extractor: BatchedModel, images: npt.NDArray[np.float32]) -> float:
    noise = np.random.default_rng(0).normal(scale=NOISE, size=images.shape).astype(np.float32)
    plain, disturbed = (extractor.batch(batch).astype(np.float64) for batch in (images, images + noise))
    spread, moved = (float(np.sqrt(np.mean(np.square(values)))) for values in (plain - plain.mean(axis=0), disturbed - plain))
    return moved / spread if spread else 0.0
