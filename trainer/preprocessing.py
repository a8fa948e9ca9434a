"""What happens to an image: decoded, shrunk or enlarged to a square, grey levels in [0, 1]; and a label becomes an index.

The same functions run in Transform, in the trainers and in every server.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from cxr.core import features

MAX_PIXELS = 40_000_000  # detectors end at about 15 million; more is a decompression bomb
DECODED_AT_ONCE = 4  # images of a batch; bounds memory to some hundred MB in the worst case

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_PNG_SIZE_AT = 16  # of width and height in the IHDR chunk, two big-endian 32-bit numbers


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
      encoded: string [batch], PNG (8 or 16 bit) or JPEG. Colours are reduced to grey, as `cxr ingest` does.
      size: Height and width of the result, pixels. The aspect ratio is not kept.

    Returns:
      float32 [batch, size, size, 3] in [0, 1]; the three channels are equal.

    Raises:
      tf.errors.InvalidArgumentError: An image cannot be decoded or has more than MAX_PIXELS pixels.
    """
    grey = tf.map_fn(
        lambda one: _decode_grey(one, size),
        encoded,
        parallel_iterations=DECODED_AT_ONCE,
        fn_output_signature=tf.TensorSpec([size, size, 1], tf.float32),
    )
    return tf.repeat(grey, 3, axis=3)


def decode_one(encoded: tf.Tensor, size: int) -> tf.Tensor:
    """Decodes one image, string [] to float32 [size, size, 3]; see `decode_and_resize`."""
    return tf.repeat(_decode_grey(encoded, size), 3, axis=2)


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


def _decode_grey(encoded: tf.Tensor, size: int) -> tf.Tensor:
    """Decodes one image to float32 [size, size, 1] in [0, 1]."""
    is_png = tf.equal(_head(encoded, len(_PNG)), _PNG)
    known = tf.logical_or(is_png, tf.equal(_head(encoded, len(_JPEG)), _JPEG))
    with _required(known, "an image is neither PNG nor JPEG"):
        encoded = tf.identity(encoded)
    return tf.cond(is_png, lambda: _decoded_png(encoded, size), lambda: _decoded_jpeg(encoded, size))


def _decoded_png(encoded: tf.Tensor, size: int) -> tf.Tensor:
    # Padded, so that a file that ends before its size has none, instead of an error that quotes its bytes.
    header = tf.strings.join([_head(encoded, _PNG_SIZE_AT + 8), bytes(_PNG_SIZE_AT + 8)])
    sides = tf.io.decode_raw(tf.strings.substr(header, _PNG_SIZE_AT, 8), tf.int32, little_endian=False)
    # 16 bits hold 8-bit levels exactly (times 257), and those of 16-bit files without loss.
    return _resized(lambda data: tf.io.decode_png(data, channels=1, dtype=tf.uint16), encoded, sides, size) / 65535


def _decoded_jpeg(encoded: tf.Tensor, size: int) -> tf.Tensor:
    sides = tf.io.extract_jpeg_shape(encoded)[:2]
    return _resized(lambda data: tf.io.decode_jpeg(data, channels=1, dct_method="INTEGER_ACCURATE"), encoded, sides, size) / 255


def _resized(decode: Callable[[tf.Tensor], tf.Tensor], encoded: tf.Tensor, sides: tf.Tensor, size: int) -> tf.Tensor:
    pixels = tf.reduce_prod(tf.cast(sides, tf.int64))
    fits = tf.logical_and(tf.reduce_all(sides > 0), tf.reduce_all(sides <= MAX_PIXELS))  # the product of such sides cannot overflow
    with _required(tf.logical_and(fits, pixels <= MAX_PIXELS), f"an image has no pixels, or more than {MAX_PIXELS}"):
        encoded = tf.identity(encoded)
    # Bilinear with antialiasing: a 4,000-pixel radiograph must not lose its fine structure to skipped pixels.
    return tf.ensure_shape(tf.image.resize(decode(encoded), [size, size], antialias=True), [size, size, 1])


def _head(encoded: tf.Tensor, length: int) -> tf.Tensor:
    return tf.strings.substr(encoded, 0, length)


def _required(condition: tf.Tensor, message: str):
    """A scope whose operations run only where the condition holds; as a control dependency it survives pruning of the graph."""
    check = tf.debugging.Assert(condition, [message])
    return tf.control_dependencies([check] if check is not None else [])
