"""The heat map of an exported network's answer: of its members' maps one, laid over the whole picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from cxr.core import features
from cxr.trainer.explain.gradcam import GradCam, normalized


class HeatMaps:
    """Makes the outputs of the signature `gradcam` from feature maps; may be traced.

    An ensemble's map is the sum of its members' maps, each divided by its maximum before, by their weights. A member's weight is how much
    the joint probability of the class rises with the member's: its share in a weighted vote, the same for all in a hard one, and in a
    stacked one what the layer makes of the member's probability for this image (a member that the layer counts against the class has
    none).
    """

    def __init__(self, cams: Mapping[str, GradCam], vote: keras.layers.Layer | None = None, enlargement: float = 1.0) -> None:
        """Prepares the grid that all maps share.

        Args:
          cams: By the member's name; one of any name for a model by itself.
          vote: Joins the members' probabilities, a list of [batch, classes], to [batch, classes]; None: a model by itself.
          enlargement: How much larger the network sees things than it would see them in the whole picture (`Preprocessing.enlargement`).
        """
        self._cams, self._vote = cams, vote
        shapes = {name: cam.front.output.shape[1:3] for name, cam in cams.items()}
        # The finest member's cells, and as many more of about their size as lie in what it does not see.
        rows, columns = (_enlarged(max(shape[axis] for shape in shapes.values()), enlargement) for axis in (0, 1))
        self._grid = rows, columns

    def __call__(
        self,
        maps: Mapping[str, tf.Tensor],
        probabilities: tf.Tensor,
        shares: Sequence[tf.Tensor],
        class_index: tf.Tensor,
        seen: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """Explains a batch of answers.

        Args:
          maps: Each member's feature map, float32 [batch, rows, columns, channels].
          probabilities: Of the network, float32 [batch, classes].
          shares: Those of each member, in their order; empty for a model by itself.
          class_index: int64 [batch] or [1], PREDICTED_CLASS or a class.
          seen: What the network sees of each picture, float32 [batch, 4] (features.SEEN_BOX).

        Returns:
          HEAT_MAP, EXPLAINED_CLASS, HEAT_MAP_EMPTY and each member's MEMBER_HEAT_MAP.

        Raises:
          tf.errors.InvalidArgumentError: There is no such class, or `class_index` is of another number of images.
        """
        classes = _classes(class_index, probabilities)
        own = {name: self._placed(cam.heat(maps[name], classes), seen) for name, cam in self._cams.items()}
        if self._vote is None:
            (joint,) = own.values()
            members = {}
        else:
            weights = member_weights(self._vote, shares, classes)[:, :, tf.newaxis, tf.newaxis]
            joint = normalized(tf.reduce_sum(weights * tf.stack(list(own.values()), axis=1), axis=1))
            members = {features.MEMBER_HEAT_MAP.format(member=name): heat for name, heat in own.items()}
        empty = tf.equal(tf.reduce_max(joint, axis=(1, 2)), 0)
        return {features.HEAT_MAP: joint, features.EXPLAINED_CLASS: classes, features.HEAT_MAP_EMPTY: empty, **members}

    def _placed(self, heat: tf.Tensor, seen: tf.Tensor) -> tf.Tensor:
        down = placing(heat.shape[1], self._grid[0], seen[:, 0], seen[:, 2])
        across = placing(heat.shape[2], self._grid[1], seen[:, 1], seen[:, 3])
        return normalized(tf.einsum("brh,bhw,bcw->brc", down, heat, across))


def member_weights(vote: keras.layers.Layer, shares: Sequence[tf.Tensor], classes: tf.Tensor) -> tf.Tensor:
    """Returns how much the joint probability of a class rises with each member's probability of it, divided by the sum over the members.

    Args:
      vote: A list of [batch, classes] to [batch, classes].
      shares: Each member's probabilities, float32 [batch, classes].
      classes: int64 [batch].

    Returns:
      float32 [batch, members], none of them negative; all zero where it rises with none.
    """
    chosen = tf.one_hot(classes, shares[0].shape[1], dtype=shares[0].dtype)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(shares)
        joint = vote(list(shares))
    slopes = tape.gradient(joint, list(shares), output_gradients=chosen, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    rising = tf.nn.relu(tf.reduce_sum(tf.stack(slopes, axis=1) * chosen[:, tf.newaxis], axis=2))
    return tf.math.divide_no_nan(rising, tf.reduce_sum(rising, axis=1, keepdims=True))


def placing(cells: int, whole: int, low: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
    """Returns the matrices that lay lines of cells, which stand for a part of a line each, out over the whole line.

    Args:
      cells: How many there are.
      whole: How many come out.
      low: Where the parts begin, shares of the whole line, float32 [batch].
      high: Where they end.

    Returns:
      float32 [batch, whole, cells], linear interpolation between the cells' centres; rows of zeros whose centre lies outside of the part.
    """
    low, high = low[:, tf.newaxis], high[:, tf.newaxis]
    centres = (tf.constant((np.arange(whole) + 0.5) / whole, tf.float32) - low) / (high - low)
    at = tf.clip_by_value(centres * cells - 0.5, 0.0, cells - 1.0)
    weights = tf.nn.relu(1 - tf.abs(at[:, :, tf.newaxis] - tf.range(cells, dtype=tf.float32)))
    return tf.where((centres < 0)[:, :, tf.newaxis] | (centres > 1)[:, :, tf.newaxis], 0.0, weights)


def _enlarged(cells: int, enlargement: float) -> int:
    return math.ceil(round(cells * enlargement, 6))  # 12 cells, not 13 for 12.000000000000002


def _classes(class_index: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
    count = probabilities.shape[1]
    asked = tf.broadcast_to(class_index, tf.shape(probabilities)[:1])
    known = tf.reduce_all((asked >= features.PREDICTED_CLASS) & (asked < count))
    predicted = f"{features.PREDICTED_CLASS}: the predicted one"
    text = f"{features.CLASS_INDEX}: the model has the classes 0 to {count - 1} ({predicted}), asked for was"
    with tf.control_dependencies([tf.debugging.Assert(known, [text, asked], summarize=8)]):
        return tf.where(asked == features.PREDICTED_CLASS, tf.argmax(probabilities, axis=1), asked)
