"""What happens to an image: decoded, shrunk or enlarged to a square, grey levels in [0, 1]; and a label becomes an index.

The same functions run in Transform, in the trainers and in every server.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from cxr.core import features
from cxr.trainer.decoding import decode_grey

DECODED_AT_ONCE = 4  # images of a batch; bounds memory to some hundred MB, but for coloured ones near the limit of pixels


def preprocessing_fn(inputs: dict[str, tf.Tensor], custom_config: dict[str, Any]) -> dict[str, tf.Tensor]:
    """Transform's function: raw features in, `features.IMAGE_TENSOR` and `features.LABEL_INDEX` out.

    There is no analyzer in it, so that Transform passes over no data, and no lookup table (it would be initialised twice).

    Args:
      inputs: Raw features, each [batch, 1].
      custom_config: `class_names` (in the order of the indices) and `image_size` (pixels).
    """
    return {
        features.IMAGE_TENSOR: decode_and_resize(tf.squeeze(inputs[features.IMAGE], axis=1), custom_config["image_size"]),
        features.LABEL_INDEX: label_to_index(inputs[features.LABEL], custom_config["class_names"]),
    }


def decode_and_resize(encoded: tf.Tensor, size: int) -> tf.Tensor:
    """Decodes a batch of images.

    Args:
      encoded: string [batch], PNG or JPEG. Whatever is not 8-bit, grey and upright is made so, as `cxr ingest` does.
      size: Height and width of the result, pixels. The aspect ratio is not kept.

    Returns:
      float32 [batch, size, size, 3] in [0, 1]; the three channels are equal.

    Raises:
      tf.errors.InvalidArgumentError: An image cannot be decoded, has more than features.MAX_PIXELS pixels, or is of a kind that only
        data/images/reader.py reads (decoding.py names them).
    """
    grey = tf.map_fn(
        lambda one: decode_grey(one, size),
        encoded,
        parallel_iterations=DECODED_AT_ONCE,
        fn_output_signature=tf.TensorSpec([size, size, 1], tf.float32),
    )
    return tf.repeat(grey, 3, axis=3)


def decode_one(encoded: tf.Tensor, size: int) -> tf.Tensor:
    """Decodes one image, string [] to float32 [size, size, 3]; see `decode_and_resize`."""
    return tf.repeat(decode_grey(encoded, size), 3, axis=2)


def label_to_index(labels: tf.Tensor, class_names: Sequence[str]) -> tf.Tensor:
    """Returns the positions of labels among the class names.

    Args:
      labels: string [batch, 1].
      class_names: In the order of the indices.

    Returns:
      int64 [batch, 1].

    Raises:
      tf.errors.InvalidArgumentError: A label is none of the class names. A made-up index would train or count it as some class.
    """
    same = tf.equal(labels, tf.constant(list(class_names))[tf.newaxis, :])
    known = tf.debugging.Assert(tf.reduce_all(tf.reduce_any(same, axis=1)), [f"a label is none of {', '.join(class_names)}:", labels])
    with tf.control_dependencies([known] if known is not None else []):
        return tf.argmax(tf.cast(same, tf.int32), axis=1)[:, tf.newaxis]
