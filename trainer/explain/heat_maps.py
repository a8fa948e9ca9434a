"""The heat map of an exported network's answer: of its members' maps one, laid over the whole picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import keras
import numpy as np
import numpy.typing as npt
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

    def __init__(self, cams: Mapping[str, GradCam], vote: keras.layers.Layer | None = None, border: float = 0.0) -> None:
        """Prepares the grid that all maps share.

        Args:
          cams: By the member's name; one of any name for a model by itself.
          vote: Joins the members' probabilities, a list of [batch, classes], to [batch, classes]; None: a model by itself.
          border: Share of height and width at each side of the picture that the network does not see.
        """
        self._cams, self._vote = cams, vote
        shapes = {name: cam.front.output.shape[1:3] for name, cam in cams.items()}
        # The finest member's cells, and as many more of about their size as the border takes.
        rows, columns = (_enlarged(max(shape[axis] for shape in shapes.values()), border) for axis in (0, 1))
        self._placing = {name: (placing(shape[0], rows, border), placing(shape[1], columns, border)) for name, shape in shapes.items()}

    def __call__(
        self, maps: Mapping[str, tf.Tensor], probabilities: tf.Tensor, shares: Sequence[tf.Tensor], class_index: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Explains a batch of answers.

        Args:
          maps: Each member's feature map, float32 [batch, rows, columns, channels].
          probabilities: Of the network, float32 [batch, classes].
          shares: Those of each member, in their order; empty for a model by itself.
          class_index: int64 [batch] or [1], PREDICTED_CLASS or a class.

        Returns:
          HEAT_MAP, EXPLAINED_CLASS, HEAT_MAP_EMPTY and each member's MEMBER_HEAT_MAP.

        Raises:
          tf.errors.InvalidArgumentError: There is no such class, or `class_index` is of another number of images.
        """
        classes = _classes(class_index, probabilities)
        own = {name: self._placed(name, cam.heat(maps[name], classes)) for name, cam in self._cams.items()}
        if self._vote is None:
            (joint,) = own.values()
            members = {}
        else:
            weights = member_weights(self._vote, shares, classes)[:, :, tf.newaxis, tf.newaxis]
            joint = normalized(tf.reduce_sum(weights * tf.stack(list(own.values()), axis=1), axis=1))
            members = {features.MEMBER_HEAT_MAP.format(member=name): heat for name, heat in own.items()}
        empty = tf.equal(tf.reduce_max(joint, axis=(1, 2)), 0)
        return {features.HEAT_MAP: joint, features.EXPLAINED_CLASS: classes, features.HEAT_MAP_EMPTY: empty, **members}

    def _placed(self, name: str, heat: tf.Tensor) -> tf.Tensor:
        down, across = self._placing[name]
        if down.shape[0] == down.shape[1] and across.shape[0] == across.shape[1]:
            return heat
        return normalized(tf.einsum("rh,bhw,cw->brc", tf.constant(down), heat, tf.constant(across)))


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


def placing(cells: int, whole: int, border: float) -> npt.NDArray[np.float32]:
    """Returns the matrix that lays a line of cells, which stand for the part inside the border, out over the whole line.

    Args:
      cells: How many there are.
      whole: How many come out.
      border: Share of the whole line at each end that they say nothing about.

    Returns:
      float32 [whole, cells], linear interpolation between the cells' centres; rows of zeros whose centre lies in the border.
    """
    centres = ((np.arange(whole) + 0.5) / whole - border) / (1 - 2 * border)
    at = np.clip(centres * cells - 0.5, 0, cells - 1)
    weights = np.maximum(0, 1 - np.abs(at[:, np.newaxis] - np.arange(cells)))
    weights[(centres < 0) | (centres > 1)] = 0
    return weights.astype(np.float32)


def _enlarged(cells: int, border: float) -> int:
    return math.ceil(round(cells / (1 - 2 * border), 6))  # 12 cells, not 13 for 12.000000000000002


def _classes(class_index: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
    count = probabilities.shape[1]
    asked = tf.broadcast_to(class_index, tf.shape(probabilities)[:1])
    known = tf.reduce_all((asked >= features.PREDICTED_CLASS) & (asked < count))
    predicted = f"{features.PREDICTED_CLASS}: the predicted one"
    text = f"{features.CLASS_INDEX}: the model has the classes 0 to {count - 1} ({predicted}), asked for was"
    with tf.control_dependencies([tf.debugging.Assert(known, [text, asked], summarize=8)]):
        return tf.where(asked == features.PREDICTED_CLASS, tf.argmax(probabilities, axis=1), asked)
