"""One encoded PNG or JPEG becomes grey levels, in TensorFlow: the steps of data/images/reader.py, as far as a served graph can take them.

What `cxr ingest` writes is 8-bit grey, upright and bare, and takes the shortest way. Whoever sends a file as it is gets the same steps
(range of deep pictures, luma, transparency, orientation), or an error where a graph cannot take them: never a silently different picture.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import tensorflow as tf

from cxr.core import features
from cxr.data.images.decoders import MAX_SCANS, SCAN
from cxr.data.images.grey_levels import BULK, MARGIN, SAMPLE
from cxr.trainer import exif

MAX_PIXELS = features.MAX_PIXELS

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_HEADER = 41  # bytes of a PNG, up to and with the name of the chunk after IHDR
_SIDES_AT, _DEPTH_AT, _COLOUR_AT, _SECOND_CHUNK_AT = 16, 24, 25, 37  # in a PNG
_SECOND_SEGMENT_AT = 20  # in a JPEG that begins with a plain JFIF segment
_GREY, _PALETTE = 0, 3  # colour types of a PNG
_METADATA = 2**16  # bytes at the beginning of a file (of a PNG also at its end) where metadata are looked for
_REMEDY = "send it through `cxr predict`, or convert it to an 8-bit grey PNG or JPEG"
_LUMA = (19595 / 65536, 38470 / 65536, 7471 / 65536)  # ITU-R 601, with Pillow's rounding


def decode_grey(encoded: tf.Tensor, size: int) -> tf.Tensor:
    """Decodes one image and scales it to a square.

    Args:
      encoded: string [], PNG or JPEG.
      size: Height and width of the result, pixels. The aspect ratio is not kept.

    Returns:
      float32 [size, size, 1] in [0, 1], upright.

    Raises:
      tf.errors.InvalidArgumentError: Neither PNG nor JPEG, damaged, more than MAX_PIXELS pixels or MAX_SCANS scans, animated, CMYK, or
        turned by metadata that cannot be read here.
    """
    is_png = tf.equal(_part(encoded, 0, len(_PNG)), _PNG)
    known = tf.logical_or(is_png, tf.equal(_part(encoded, 0, len(_JPEG)), _JPEG))
    with required(known, f"an image is neither PNG nor JPEG; {_REMEDY}"):
        encoded = tf.identity(encoded)
    return tf.cond(is_png, lambda: _from_png(encoded, size), lambda: _from_jpeg(encoded, size))


def required(condition: tf.Tensor, message: str) -> AbstractContextManager[Any]:
    """A scope whose operations run only where the condition holds; as a control dependency it survives pruning of the graph."""
    check = tf.debugging.Assert(condition, [message])
    return tf.control_dependencies([check] if check is not None else [])


def _from_png(encoded: tf.Tensor, size: int) -> tf.Tensor:
    # Padded, so that a file that ends before its size has none, instead of an error that quotes its bytes.
    header = tf.strings.join([_part(encoded, 0, _HEADER), bytes(_HEADER)])
    encoded = _not_too_large(encoded, tf.io.decode_raw(_part(header, _SIDES_AT, 8), tf.int32, little_endian=False))
    depth, colour = (tf.io.decode_raw(_part(header, at, 1), tf.uint8)[0] for at in (_DEPTH_AT, _COLOUR_AT))
    bare = tf.equal(_part(header, _SECOND_CHUNK_AT, 4), b"IDAT")
    before = tf.cond(bare, lambda: tf.constant(b""), lambda: _part(encoded, 0, _METADATA))
    after = _part(encoded, tf.maximum(0, tf.strings.length(encoded) - _METADATA), _METADATA)
    transparent, narrow = _holds(before, "tRNS"), depth < 8
    with required(~_holds(before, r"\x00\x00\x00\x08acTL"), f"an animated PNG; {_REMEDY}"):
        grey = tf.equal(colour, _GREY)
    # Pillow looks for such a level among those of 8 bits, and takes none or another one for it.
    with required(~(grey & narrow & transparent), f"a grey PNG of less than 8 bits with a transparent level; {_REMEDY}"):
        opaque = (colour == _PALETTE) & narrow & ~transparent
    # 16 bits hold 8-bit levels exactly (times 257).
    levels = tf.cond(
        grey & (tf.equal(depth, 16) | ~transparent),
        lambda: tf.cond(tf.equal(depth, 16), lambda: _deep(encoded), lambda: tf.io.decode_png(encoded, channels=1, dtype=tf.uint16)),
        lambda: _coloured(encoded, opaque),
    )
    return exif.upright(_square(levels, size) / 65535, tf.strings.join([before, after]), _REMEDY)


def _deep(encoded: tf.Tensor) -> tf.Tensor:
    """As grey_levels.picture_range and to_8_bit do. Returns uint16 [height, width, 1]: 8-bit levels times 257."""
    values = tf.io.decode_png(encoded, channels=1, dtype=tf.uint16)
    flat = tf.reshape(values, [-1])
    sample = tf.cast(flat[:: tf.maximum(1, tf.size(flat) // SAMPLE)], tf.int32)
    below = tf.cumsum(tf.math.bincount(sample, minlength=2**16, maxlength=2**16))
    at = tf.cast(tf.constant(BULK, tf.float64) * tf.cast(tf.size(sample) - 1, tf.float64), tf.int32)
    bulk = tf.cast(tf.searchsorted(below, at, side="right"), tf.float64)
    margin = MARGIN * (bulk[1] - bulk[0])
    low = tf.maximum(tf.cast(tf.reduce_min(flat), tf.float64), bulk[0] - margin)
    high = tf.minimum(tf.cast(tf.reduce_max(flat), tf.float64), bulk[1] + margin)
    factor = tf.cast(tf.math.divide_no_nan(tf.constant(255, tf.float64), high - low), tf.float32)
    return _times_257((tf.cast(values, tf.float32) - tf.cast(low, tf.float32)) * factor)


def _coloured(encoded: tf.Tensor, opaque: tf.Tensor) -> tf.Tensor:
    """Puts transparency on black and takes the luma. Returns uint16 [height, width, 1]: 8-bit levels times 257.

    Args:
      encoded: A PNG.
      opaque: bool [], it has no transparency, whatever decode_png says: of a palette of 1, 2 or 4 bits that is 1, 3 or 15 in place of 255.
    """
    colours = tf.io.decode_png(encoded, channels=4)  # of 16 bits the high ones; decode_png's own grey has other weights
    opacity = tf.where(opaque, 1.0, tf.cast(colours[..., 3], tf.float32) / 255)
    luma = tf.add_n([weight * tf.round(tf.cast(colours[..., i], tf.float32) * opacity) for i, weight in enumerate(_LUMA)])
    return _times_257(luma)[..., tf.newaxis]


def _times_257(levels: tf.Tensor) -> tf.Tensor:
    return tf.cast(257 * tf.clip_by_value(tf.round(levels), 0, 255), tf.uint16)


def _from_jpeg(encoded: tf.Tensor, size: int) -> tf.Tensor:
    shape = tf.io.extract_jpeg_shape(encoded)  # height, width, components
    encoded = _not_too_large(encoded, shape[:2])
    scans = tf.size(tf.strings.split(encoded, SCAN, maxsplit=MAX_SCANS + 1)) - 1  # maxsplit: a file of nothing else would fill the memory
    with required(scans <= MAX_SCANS, f"a JPEG of more than {MAX_SCANS} scans; {_REMEDY}"):
        encoded = tf.identity(encoded)
    with required(shape[2] < 4, f"a CMYK JPEG; {_REMEDY}"):
        levels = tf.io.decode_jpeg(encoded, channels=1, dct_method="INTEGER_ACCURATE")
    bare = tf.equal(
        _part(tf.strings.join([encoded, bytes(_HEADER)]), _SECOND_SEGMENT_AT, 2), b"\xff\xdb"
    )  # the tables of the picture itself
    metadata = tf.cond(bare, lambda: tf.constant(b""), lambda: _part(encoded, 0, 2 * _METADATA))
    return exif.upright(_square(levels, size) / 255, metadata, _REMEDY)


def _not_too_large(encoded: tf.Tensor, sides: tf.Tensor) -> tf.Tensor:
    pixels = tf.reduce_prod(tf.cast(sides, tf.int64))
    fits = tf.logical_and(tf.reduce_all(sides > 0), tf.reduce_all(sides <= MAX_PIXELS))  # the product of such sides cannot overflow
    with required(tf.logical_and(fits, pixels <= MAX_PIXELS), f"an image has no pixels, or more than {MAX_PIXELS}"):
        return tf.identity(encoded)


def _square(levels: tf.Tensor, size: int) -> tf.Tensor:
    # Bilinear with antialiasing: a 4,000-pixel radiograph must not lose its fine structure to skipped pixels.
    return tf.ensure_shape(tf.image.resize(levels, [size, size], antialias=True), [size, size, 1])


def _part(text: tf.Tensor, at: int | tf.Tensor, length: int) -> tf.Tensor:
    return tf.strings.substr(text, at, length)


def _holds(text: tf.Tensor, pattern: str) -> tf.Tensor:
    return tf.strings.regex_full_match(text, rf"(?s)\C*{pattern}\C*")
