"""Where the lungs are in a frontal chest radiograph, without anything learnt: in TensorFlow, so that a served graph holds it.

A template of rectangles is laid over a small, equalised copy of the picture at every place and size of a grid, as Viola and Jones (CVPR
2001) do with features of this kind: two dark lungs with the bright mediastinum between them, brighter walls beside them, shoulders above
and the abdomen below. The best place counts if it looks like a thorax at all; else the whole picture is taken. docs/evaluation.md says how
often that is right and where it fails.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cxr.core import features
from cxr.trainer import contrast

GRID = 64  # height and width of the small copy, pixels
LEAST_SCORE = 0.35  # below it nothing looks like a thorax
# What is kept beside the box, shares of its height and width: the tips of the lungs reach above the template, their angles below it.
ABOVE, BELOW, BESIDE = 0.15, 0.1, 0.1
_STEP = 2 / GRID  # of the grid of places and sizes
_TOPS, _BOTTOMS = np.arange(0, 0.36, _STEP), np.arange(0.62, 1 + 1e-9, _STEP)
_LEFTS, _RIGHTS = np.arange(0, 0.33, _STEP), np.arange(0.67, 1 + 1e-9, _STEP)
_LEAST_HEIGHT, _LEAST_WIDTH = 0.45, 0.5
_USUAL = (0.1, 0.9)  # where both directions of a picture's thorax usually begin and end; the squared distance to it counts against a place

_Span = tuple[float, float]  # first and last, shares of the box's height or width; below 0 or above 1: outside of it
_Region = tuple[_Span, _Span]  # rows, columns
_LUNGS: tuple[_Region, _Region] = (((0.15, 0.8), (0.06, 0.38)), ((0.15, 0.8), (0.62, 0.94)))
_MEDIASTINUM: _Region = ((0.1, 0.9), (0.44, 0.56))
# Outside, inside, weight: across each edge of the box the picture gets darker on the way in. An edge at the picture's own has no outside.
_EDGES: tuple[tuple[_Region, tuple[_Region, ...], float], ...] = (
    (((0.2, 0.8), (-0.1, 0)), (((0.2, 0.8), (0.02, 0.14)),), 0.5),  # left wall
    (((0.2, 0.8), (1, 1.1)), (((0.2, 0.8), (0.86, 0.98)),), 0.5),  # right wall
    (((1, 1.12), (0.05, 0.95)), (((0.84, 0.96), (0.05, 0.36)), ((0.84, 0.96), (0.64, 0.95))), 0.7),  # abdomen; the heart lies between
    (((-0.12, 0), (0.05, 0.4)), (((0.04, 0.16), (0.12, 0.38)),), 0.35),  # shoulders
    (((-0.12, 0), (0.6, 0.95)), (((0.04, 0.16), (0.62, 0.88)),), 0.35),
)


def find(grey: tf.Tensor) -> tf.Tensor:
    """Finds the thorax.

    Args:
      grey: float32 [batch, height, width, 1] in [0, 1].

    Returns:
      float32 [batch, 4]: top, left, bottom, right of what holds the lungs, shares of height and width; 0, 0, 1, 1 where nothing looks like
      a thorax.
    """
    levels = contrast.apply(tf.ensure_shape(tf.image.resize(grey, [GRID, GRID], antialias=True), [None, GRID, GRID, 1]), "equalize")[..., 0]
    rows = _pairs(_TOPS, _BOTTOMS, _LEAST_HEIGHT)
    columns = _pairs(_LEFTS, _RIGHTS, _LEAST_WIDTH)
    scores = tf.reshape(_scores(levels, rows, columns), [-1, len(rows) * len(columns)])
    best = tf.argmax(scores, axis=1)
    top, bottom = tf.unstack(tf.gather(tf.constant(rows, tf.float32), best // len(columns)), axis=1)
    left, right = tf.unstack(tf.gather(tf.constant(columns, tf.float32), best % len(columns)), axis=1)
    height, width = bottom - top, right - left
    kept = [top - ABOVE * height, left - BESIDE * width, bottom + BELOW * height, right + BESIDE * width]
    box = tf.clip_by_value(tf.stack(kept, axis=1), 0, 1)
    return tf.where(tf.reduce_max(scores, axis=1, keepdims=True) >= LEAST_SCORE, box, tf.constant([features.WHOLE]))


def cut_out(grey: tf.Tensor, box: tf.Tensor, size: int) -> tf.Tensor:
    """Scales a part of a picture to a square, bilinear with antialiasing.

    Args:
      grey: float32 [height, width, channels].
      box: float32 [4], as `find` gives it.
      size: Height and width of the result, pixels.

    Returns:
      float32 [size, size, channels].
    """
    sides = tf.constant(list(grey.shape[:2]), tf.float32)
    scale = size / ((box[2:] - box[:2]) * sides)
    result = tf.raw_ops.ScaleAndTranslate(
        images=grey[tf.newaxis],
        size=[size, size],
        scale=scale,
        translation=-box[:2] * sides * scale,
        kernel_type="triangle",
        antialias=True,
    )
    return tf.ensure_shape(result[0], [size, size, grey.shape[2]])


def _scores(levels: tf.Tensor, rows: npt.NDArray[np.float64], columns: npt.NDArray[np.float64]) -> tf.Tensor:
    """How much each place looks like a thorax, float32 [batch, pairs of rows, pairs of columns]."""

    def mean(region: _Region) -> tf.Tensor:
        """Of the region, at each place: levels averaged over its rows and over its columns."""
        return tf.einsum("ry,byx,cx->brc", _averages(rows, region[0]), levels, _averages(columns, region[1]))

    left, right = (mean(lung) for lung in _LUNGS)
    score = mean(_MEDIASTINUM) - tf.maximum(left, right)
    for outside, inside, weight in _EDGES:
        step = mean(outside) - tf.add_n([mean(region) for region in inside]) / len(inside)
        exists = _lies_inside(rows, outside[0])[:, np.newaxis] & _lies_inside(columns, outside[1])
        score += weight * tf.where(tf.constant(exists), step, 0.0)
    unusual = [np.sum((pairs - _USUAL) ** 2, axis=1) for pairs in (rows, columns)]
    return score - tf.constant(unusual[0][:, np.newaxis] + unusual[1], tf.float32)


def _pairs(first: npt.NDArray[np.float64], last: npt.NDArray[np.float64], least: float) -> npt.NDArray[np.float64]:
    """All beginnings and ends that are far enough apart, [pairs, 2]."""
    return np.array([pair for pair in product(first, last) if pair[1] - pair[0] >= least])


def _spans(pairs: npt.NDArray[np.float64], span: _Span) -> npt.NDArray[np.float64]:
    """Where a span of the box lies in the small copy, for each place, pixels within it, [pairs, 2]."""
    begin, end = pairs[:, :1], pairs[:, 1:]
    return np.clip((begin + (end - begin) * np.array(span)) * GRID, 0, GRID)


def _lies_inside(pairs: npt.NDArray[np.float64], span: _Span) -> npt.NDArray[np.bool_]:
    """Whether something of the span lies in the picture, for each place, [pairs]."""
    return np.diff(_spans(pairs, span), axis=1)[:, 0] > 0.5


def _averages(pairs: npt.NDArray[np.float64], span: _Span) -> tf.Tensor:
    """Weights that average the pixels of a span, for each place, float32 [pairs, GRID]; made in the graph, which stays small."""
    first, last = tf.unstack(tf.constant(_spans(pairs, span), tf.float32)[..., tf.newaxis], axis=1)
    pixels = tf.range(GRID, dtype=tf.float32)
    covered = tf.nn.relu(tf.minimum(last, pixels + 1) - tf.maximum(first, pixels))
    return tf.math.divide_no_nan(covered, last - first)
