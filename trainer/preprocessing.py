"""What Transform does to an image: decoded, cropped, shrunk or enlarged to a square, grey levels in [0, 1] mapped and normalised; a label
becomes an index.

This is the only definition. Trainers, evaluation and servers apply the graph that Transform makes of it (transform_graph.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from cxr.core import features
from cxr.trainer import contrast, thorax
from cxr.trainer.decoding import decode_grey
from cxr.trainer.preprocessing_config import CROP_ENLARGES, Crop, Normalization, Preprocessing

DECODED_AT_ONCE = 4  # images of a batch; bounds memory to some hundred MB, but for coloured ones near the limit of pixels
SPREADS = 4  # standard deviations of the training split's grey levels that fill [0, 1]
_EPSILON = 1e-6  # for pictures of one grey level


def preprocessing_fn(inputs: dict[str, tf.Tensor], custom_config: dict[str, Any]) -> dict[str, tf.Tensor]:
    """Transform's function: raw features in, `features.IMAGE_TENSOR`, `features.SEEN_BOX` and `features.LABEL_INDEX` out.

    Each result must follow from its own raw feature alone (a server has no label, TFMA no need of pixels), so that there is no check in one
    that the other would have to pass. No lookup table either: it would be initialised twice.

    Args:
      inputs: Raw features, each [batch, 1].
      custom_config: `class_names` (in the order of the indices), `image_size` (pixels) and `preprocessing` (of `Preprocessing`).
    """
    options = Preprocessing.model_validate(custom_config["preprocessing"])
    grey, seen = decode_and_crop(tf.squeeze(inputs[features.IMAGE], axis=1), custom_config["image_size"], options.border, options.crop)
    grey = contrast.apply(grey, options.contrast)
    return {
        features.IMAGE_TENSOR: tf.repeat(_normalized(grey, options.normalization), 3, axis=3),
        features.SEEN_BOX: seen,
        features.LABEL_INDEX: label_to_index(inputs[features.LABEL], custom_config["class_names"]),
    }


def decode_and_resize(encoded: tf.Tensor, size: int, border: float = 0.0) -> tf.Tensor:
    """Decodes a batch of images as `decode_and_crop` does, without a crop, and returns the pictures alone."""
    return decode_and_crop(encoded, size, border)[0]


def decode_and_crop(encoded: tf.Tensor, size: int, border: float = 0.0, crop: Crop = "none") -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes a batch of images.

    Args:
      encoded: string [batch], PNG or JPEG. Whatever is not 8-bit, grey and upright is made so, as `cxr ingest` does.
      size: Height and width of the result, pixels. The aspect ratio is not kept.
      border: Share of height and width that is left out at each side.
      crop: What is cut out of the rest; see `preprocessing_config.Preprocessing`.

    Returns:
      float32 [batch, size, size, 1] in [0, 1], and what that shows of each image, float32 [batch, 4] (`features.SEEN_BOX`).

    Raises:
      tf.errors.InvalidArgumentError: An image cannot be decoded, has more than features.MAX_PIXELS pixels, or is of a kind that only
        data/images/reader.py reads (decoding.py names them).
    """
    side = size if crop == "none" else CROP_ENLARGES * size
    cut = round(side * border / (1 - 2 * border))  # pixels at each side of a picture whose inner part has the size
    edge, share = cut / (side + 2 * cut), side / (side + 2 * cut)

    @tf.autograph.experimental.do_not_convert  # no Python here looks at a tensor's value
    def one(image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        inner = decode_grey(image, side + 2 * cut)[cut : cut + side, cut : cut + side]
        if crop == "none":
            return inner, tf.constant([edge, edge, edge + share, edge + share])
        box = thorax.find(inner[tf.newaxis])[0]
        return thorax.cut_out(inner, box, size), edge + share * box

    return tf.map_fn(
        one,
        encoded,
        parallel_iterations=DECODED_AT_ONCE,
        fn_output_signature=(tf.TensorSpec([size, size, 1], tf.float32), tf.TensorSpec([4], tf.float32)),
    )


def label_to_index(labels: tf.Tensor, class_names: Sequence[str]) -> tf.Tensor:
    """Returns the positions of labels among the class names, int64 [batch, 1]; -1 for what is no class, as TFT's vocabularies have it.

    Args:
      labels: string [batch, 1].
      class_names: In the order of the indices.
    """
    same = tf.equal(labels, tf.constant(list(class_names))[tf.newaxis, :])
    index = tf.argmax(tf.cast(same, tf.int32), axis=1)
    return tf.where(tf.reduce_any(same, axis=1), index, -1)[:, tf.newaxis]


def _normalized(grey: tf.Tensor, how: Normalization) -> tf.Tensor:
    """Applies a `Normalization` to float32 [batch, size, size, 1] in [0, 1]; so is the result."""
    if how == "none":
        return grey
    if how == "training_set":
        mean, spread = tft.mean(grey), tf.sqrt(tft.var(grey))
        return tf.clip_by_value(0.5 + (grey - mean) / (SPREADS * spread + _EPSILON), 0, 1)
    means, variances = tf.nn.moments(grey, axes=[1, 2, 3], keepdims=True)
    spreads = tf.sqrt(variances)
    return tf.clip_by_value(tft.mean(means) + (grey - means) / (spreads + _EPSILON) * tft.mean(spreads), 0, 1)
