"""Maps of grey levels that take away what scanners and exports do to a picture, in TensorFlow, so that a served graph holds them.

Each works on float32 [batch, size, size, 1] in [0, 1] and gives the same; each picture by itself.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from cxr.trainer.preprocessing_config import Contrast

LEVELS = 256
TAIL = 0.01  # share of the pixels at each end that `percentiles` lets go
TILES = 8  # along each side; with CLIP_LIMIT what OpenCV and most papers on radiographs take
CLIP_LIMIT = 2.0  # highest bar of a tile's histogram, in bars of an even one


def apply(grey: tf.Tensor, how: Contrast) -> tf.Tensor:
    """Applies one of the maps.

    Args:
      grey: float32 [batch, size, size, 1] in [0, 1].
      how: Which; see `preprocessing_config.Preprocessing`.

    Returns:
      float32 [batch, size, size, 1] in [0, 1].
    """
    if how == "none":
        return grey
    if how == "percentiles":
        return _percentiles(grey)
    return _equalized(grey, 1, None) if how == "equalize" else _equalized(grey, TILES, CLIP_LIMIT)


def _percentiles(grey: tf.Tensor) -> tf.Tensor:
    size = grey.shape[1] * grey.shape[2]
    ordered = tf.sort(tf.reshape(grey, [-1, size]), axis=1)
    low, high = (ordered[:, round(share * (size - 1))][:, tf.newaxis, tf.newaxis, tf.newaxis] for share in (TAIL, 1 - TAIL))
    return tf.clip_by_value(tf.math.divide_no_nan(grey - low, high - low), 0, 1)


def _equalized(grey: tf.Tensor, tiles: int, clip_limit: float | None) -> tf.Tensor:
    """Histogram equalisation; with several tiles and a limit the contrast limited adaptive one (Zuiderveld, Graphics Gems IV, 1994).

    Each tile maps its levels by its own cumulated histogram, of which no bar is higher than the limit: what was cut off is spread evenly.
    A pixel's level is mapped by the four nearest tiles and interpolated between them by its distance to their centres.
    """
    size = grey.shape[1]
    side = -(-size // tiles)  # pixels of a tile; the last ones reach beyond the picture, which is mirrored there
    tiles = -(-size // side)
    levels = tf.cast(tf.round(grey[..., 0] * (LEVELS - 1)), tf.int32)
    beyond = tiles * side - size
    padded = tf.pad(levels, [[0, 0], [0, beyond], [0, beyond]], "SYMMETRIC")
    by_tile = tf.transpose(tf.reshape(padded, [-1, tiles, side, tiles, side]), [0, 1, 3, 2, 4])
    counts = tf.math.bincount(tf.reshape(by_tile, [-1, side * side]), minlength=LEVELS, maxlength=LEVELS, axis=-1)
    bars = tf.cast(counts, tf.float32) / (side * side)
    if clip_limit is not None:
        clipped = tf.minimum(bars, clip_limit / LEVELS)
        bars = clipped + (1 - tf.reduce_sum(clipped, axis=1, keepdims=True)) / LEVELS
    below = tf.cumsum(bars, axis=1)
    lowest = tf.gather(below, tf.argmax(tf.cast(bars > 0, tf.int32), axis=1), axis=1, batch_dims=1)[:, tf.newaxis]
    mapped = tf.clip_by_value(tf.math.divide_no_nan(below - lowest, 1 - lowest), 0, 1)
    maps = tf.reshape(mapped, [-1, tiles * tiles * LEVELS])

    at, weights = _neighbours(size, side, tiles)
    result = tf.zeros_like(grey[..., 0])
    for row in (0, 1):
        for column in (0, 1):
            offsets = (at[row][:, np.newaxis] * tiles + at[column][np.newaxis, :]) * LEVELS
            value = tf.gather(maps, tf.constant(offsets, tf.int32) + levels, axis=1, batch_dims=1)
            result += value * tf.constant(weights[row][:, np.newaxis] * weights[column][np.newaxis, :], tf.float32)
    return tf.clip_by_value(result, 0, 1)[..., tf.newaxis]


def _neighbours(size: int, side: int, tiles: int) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """For each pixel along one side the tile before and after it, int [size] each, and their weights, float [size] each."""
    position = (np.arange(size) + 0.5) / side - 0.5  # in tiles, from the first one's centre
    before = np.floor(position).astype(int)
    share = position - before
    return (np.clip(before, 0, tiles - 1), np.clip(before + 1, 0, tiles - 1)), (1 - share, share)
