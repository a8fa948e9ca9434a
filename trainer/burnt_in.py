"""Random frames and markers, as collimators, exports and technicians leave them at the edge of a radiograph: none of them is the disease's.

Each function takes float32 [side, side, channels] in [0, 1], how much, and a seed (int64 [2]), and gives an image of the same kind.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from PIL import Image, ImageDraw, ImageFont

from cxr.trainer.thorax import cut_out

TEXTS = ("L", "R", "AP", "PA", "PORTABLE", "SUPINE")  # beside them a filled rectangle
HEIGHTS = (0.04, 0.12)  # of a marker, shares of the picture's side
FARTHEST = 0.06  # of a marker from the two edges of its corner
_STAMP = (32, 64)  # height and width of a drawn marker, pixels


def border(image: tf.Tensor, most: float, seed: tf.Tensor) -> tf.Tensor:
    """Covers the edges black or white, or cuts them off; each side by a share of its own within `most`, the kinds equally often."""
    side = image.shape[0]
    widths = tf.random.stateless_uniform([4], seed, 0.0, most)  # top, left, bottom, right
    kind = tf.random.stateless_uniform([], tf.random.experimental.stateless_fold_in(seed, 1), 0, 3, tf.int32)
    box = tf.concat([widths[:2], 1 - widths[2:]], axis=0)
    pixels = (tf.range(side, dtype=tf.float32) + 0.5) / side
    rows, columns = ((pixels >= box[i]) & (pixels < box[i + 2]) for i in (0, 1))
    inside = (rows[:, tf.newaxis] & columns)[..., tf.newaxis]
    return tf.switch_case(
        kind,
        [
            lambda: tf.where(inside, image, 0.0),
            lambda: tf.where(inside, image, 1.0),
            lambda: cut_out(image, box, side),
        ],
    )


def marker(image: tf.Tensor, share: float, seed: tf.Tensor) -> tf.Tensor:
    """Burns letters or a rectangle, black or white, into each corner with the probability `share`."""
    side = image.shape[0]
    stamps = tf.constant(_stamps())
    for corner, (down, right) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        own = tf.random.experimental.stateless_fold_in(seed, corner)
        put, which, level, size, *offset = tf.unstack(tf.random.stateless_uniform([6], own))
        height = (HEIGHTS[0] + size * (HEIGHTS[1] - HEIGHTS[0])) * side
        width = height * _STAMP[1] / _STAMP[0]
        near = tf.stack(offset) * FARTHEST * side
        at = tf.stack([side - height - near[0] if down else near[0], side - width - near[1] if right else near[1]])
        stamp = stamps[tf.cast(which * (1 + len(TEXTS)), tf.int32)]
        opacity = tf.raw_ops.ScaleAndTranslate(
            images=stamp[tf.newaxis, ..., tf.newaxis],
            size=[side, side],
            scale=tf.stack([height / _STAMP[0], width / _STAMP[1]]),
            translation=at,
            kernel_type="triangle",
            antialias=True,
        )[0]
        opacity = tf.clip_by_value(opacity, 0, 1) * tf.cast(put < share, tf.float32)
        image = image * (1 - opacity) + tf.round(level) * opacity
    return image


@cache
def _stamps() -> npt.NDArray[np.float32]:
    """Returns the markers, [markers, height, width]: 1 where the text is."""
    height, width = _STAMP
    drawn = [np.ones(_STAMP, np.float32)]
    for text in TEXTS:
        font = ImageFont.load_default(height)
        left, top, right, bottom = font.getbbox(text)
        letters = Image.new("L", (round(right - left), round(bottom - top)))
        ImageDraw.Draw(letters).text((-left, -top), text, fill=255, font=font)
        letters.thumbnail((width, height))
        stamp = Image.new("L", (width, height))
        stamp.paste(letters, ((width - letters.width) // 2, (height - letters.height) // 2))
        drawn.append(np.asarray(stamp, np.float32) / np.float32(255))
    return np.stack(drawn)
