"""Which way is up, said by the metadata of an encoded image: EXIF read with TensorFlow's operations, so that a served graph can."""

from __future__ import annotations

import tensorflow as tf

_ORIENTATION = 0x0112  # tag
_ENTRIES = 64  # of the first directory, at most; cameras write about 15
_ENTRY = 12  # bytes: tag, type, count, value
# \C is any byte. EXIF is a TIFF file inside a JPEG segment or a PNG chunk.
_EXIF = r"(?s)\A\C*?(?:Exif\x00\x00|eXIf)(II\*\x00|MM\x00\*)"
_ELSEWHERE = r'(?s)\C*(?:tiff:Orientation(?:="|>)[2-8]|Raw profile type exif|XML:com\.adobe\.xmp\x00\x01)\C*'


def upright(image: tf.Tensor, metadata: tf.Tensor, remedy: str) -> tf.Tensor:
    """Turns and mirrors a square picture as the metadata of its file say.

    Args:
      image: [size, size, 1].
      metadata: string [], the part of the file before (and, in a PNG, after) the picture itself; may be empty.
      remedy: What the error tells to do.

    Raises:
      tf.errors.InvalidArgumentError: Turned according to metadata of a kind that cannot be read here (XMP, hexadecimal text chunks).
    """
    stated = tf.cond(tf.strings.regex_full_match(metadata, _EXIF + r"\C*"), lambda: _orientation(metadata), lambda: 0)
    elsewhere = tf.logical_and(tf.equal(stated, 0), tf.strings.regex_full_match(metadata, _ELSEWHERE))
    check = tf.debugging.Assert(~elsewhere, [f"an image says which way is up in metadata that are not read here; {remedy}"])
    with tf.control_dependencies([check] if check is not None else []):
        # A square picture: what turning does to the sides of the original is undone by the scaling.
        image = tf.cond(_among(stated, 5, 6, 7, 8), lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
    image = tf.cond(_among(stated, 2, 3, 6, 7), lambda: tf.reverse(image, [1]), lambda: image)
    return tf.cond(_among(stated, 3, 4, 7, 8), lambda: tf.reverse(image, [0]), lambda: image)


def _among(number: tf.Tensor, *numbers: int) -> tf.Tensor:
    return tf.reduce_any(tf.equal(number, numbers))


def _orientation(metadata: tf.Tensor) -> tf.Tensor:
    """Returns the value of the tag, int32 []; 0 where the first directory has none."""
    tiff = tf.strings.regex_replace(metadata, _EXIF, r"\1", replace_global=False)
    little = tf.equal(tf.strings.substr(tiff, 0, 2), b"II")
    padded = tf.strings.join([tiff, bytes(8 + _ENTRY * _ENTRIES)])  # what ends early has zeros there

    def numbers(at: int | tf.Tensor, length: int, dtype: tf.DType) -> tf.Tensor:
        part = tf.strings.substr(padded, at, length)
        return tf.where(little, tf.io.decode_raw(part, dtype, True), tf.io.decode_raw(part, dtype, False))

    start = tf.clip_by_value(numbers(4, 4, tf.int32)[0], 0, tf.strings.length(tiff))
    count = tf.cast(numbers(start, 2, tf.uint16)[0], tf.int32)
    table = tf.cast(tf.reshape(numbers(start + 2, _ENTRY * _ENTRIES, tf.uint16), [_ENTRIES, _ENTRY // 2]), tf.int32)
    found = tf.logical_and(tf.equal(table[:, 0], _ORIENTATION), tf.range(_ENTRIES) < count)
    return tf.reduce_max(tf.where(found, table[:, 4], 0))  # a short number stands at the value's beginning
