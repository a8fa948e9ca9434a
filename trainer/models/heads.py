"""What stands on a backbone: pooling of its last feature map (nothing to learn), then the head (all that the head stage trains)."""

from __future__ import annotations

import keras
import numpy as np
import numpy.typing as npt
from sklearn.preprocessing import StandardScaler
from sklearn.utils import gen_batches

from cxr.core.errors import CxrError
from cxr.core.stored_rows import ROWS_IN_MEMORY, FloatRows
from cxr.trainer.model_config import Head

LAYER = "head"
GRID = "flatten"  # name of the layer that keeps the cells of a pooled grid apart
# A feature that hardly varies on the training split (a dead channel) must not blow up on the others: its variance counts
# as at least this share of the mean variance.
_VARIANCE_FLOOR = 1e-2
_TINY = 1e-20  # a random backbone that keeps its first statistics yields features as small as 1e-7: nothing may hide them


def pooling_layers(head: Head, feature_map: tuple[int, int]) -> list[keras.layers.Layer]:
    """Returns the layers from a feature map [batch, height, width, channels] to features [batch, width].

    Args:
      head: Kind of pooling.
      feature_map: Its height and width.

    Raises:
      CxrError: The window is larger than the feature map.
    """
    if head.pooling == "global":
        return [keras.layers.GlobalAveragePooling2D(name="pooling", dtype="float32")]
    if head.pool_size > min(feature_map):
        raise CxrError(
            f"head.pool_size: {head.pool_size} is more than the feature map's {feature_map[0]}x{feature_map[1]} cells; "
            "set a smaller pool_size, a larger image_size, or pooling: global"
        )
    return [
        keras.layers.AveragePooling2D(head.pool_size, name="pooling", dtype="float32"),
        keras.layers.Flatten(name=GRID, dtype="float32"),
    ]


def floored(variance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns the features' variances, [features], none of them so small that it would blow a feature up."""
    return np.maximum(variance, _VARIANCE_FLOOR * variance.mean() + _TINY)


def build_head(head: Head, width: int, classes: int, training_features: FloatRows | None = None) -> keras.Model:
    """Builds the head: where configured a normalization and a hidden layer with dropout, then a Dense layer with softmax.

    Args:
      head: Its configuration.
      width: Of the pooled features.
      classes: How many.
      training_features: [images, width], whose mean and variance `normalize` takes; None: mean 0 and variance 1, for a head that
        gets its weights elsewhere.

    Returns:
      float32 [batch, width] to probabilities, float32 [batch, classes].
    """
    features = x = keras.Input([width], name="features")
    if head.normalize:
        # A frozen BatchNormalization rather than Normalization: its statistics are plain weights, which every way of copying keeps.
        standardize = keras.layers.BatchNormalization(
            center=False, scale=False, epsilon=_TINY, trainable=False, name="normalize", dtype="float32"
        )
        x = standardize(x)
        if training_features is not None:
            scaler = StandardScaler()
            for part in gen_batches(len(training_features), ROWS_IN_MEMORY):
                scaler.partial_fit(np.asarray(training_features[part]))
            standardize.moving_mean.assign(scaler.mean_)
            standardize.moving_variance.assign(floored(scaler.var_))
    penalty = keras.regularizers.L2(head.l2) if head.l2 else None
    if head.hidden_units:
        x = keras.layers.Dense(head.hidden_units, "relu", kernel_regularizer=penalty, name="hidden", dtype="float32")(x)
    if head.dropout:
        x = keras.layers.Dropout(head.dropout, name="dropout", dtype="float32")(x)
    x = keras.layers.Dense(classes, "softmax", kernel_regularizer=penalty, name="probabilities", dtype="float32")(x)
    return keras.Model(features, x, name=LAYER)
