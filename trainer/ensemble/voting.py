# ruff: noqa: D102 - call, build and get_config mean what they mean in every Keras layer
"""Ways to join the members' probabilities: Keras layers from a list of [batch, classes] to [batch, classes] that sum to one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np

TIE_SHARE = 0.01  # of the mean probabilities in a hard vote: orders tied classes, too little to overturn a vote of up to 98 members
LEAST = 1e-7  # what a probability is clipped to


@keras.saving.register_keras_serializable(package="cxr")
class WeightedVote(keras.layers.Layer):
    """Soft vote: the members' mean probabilities, weighted. `shares` has one number per member, they sum to one."""

    def __init__(self, shares: Sequence[float], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shares = [float(share) for share in shares]

    def call(self, members: list) -> Any:
        return sum(share * member for share, member in zip(self.shares, members, strict=True))

    def compute_output_shape(self, shapes: Any) -> Any:
        return shapes[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "shares": self.shares}


@keras.saving.register_keras_serializable(package="cxr")
class HardVote(keras.layers.Layer):
    """The share of members that chose each class.

    One hundredth of the result is the mean of the probabilities: it decides between classes with equally many votes, and no class has
    probability zero.
    """

    def call(self, members: list) -> Any:
        probabilities = keras.ops.stack(members, axis=1)  # [batch, members, classes]
        votes = keras.ops.one_hot(keras.ops.argmax(probabilities, axis=2), probabilities.shape[2], dtype=probabilities.dtype)
        return (1 - TIE_SHARE) * keras.ops.mean(votes, axis=1) + TIE_SHARE * keras.ops.mean(probabilities, axis=1)

    def compute_output_shape(self, shapes: Any) -> Any:
        return shapes[0]


@keras.saving.register_keras_serializable(package="cxr")
class Stacking(keras.layers.Layer):
    """The members' probabilities side by side, then one Dense layer.

    start="average": linear, one identity per member over their number, so that training begins at the soft vote; the result is clipped to
    positive numbers and divided by its sum. start="random": Glorot-uniform with softmax, as in the 2021 paper.
    """

    def __init__(self, classes: int, start: Literal["average", "random"] = "average", seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.classes, self.start, self.seed = classes, start, seed
        kernel = keras.initializers.GlorotUniform(seed) if start == "random" else _stacked_identities
        self.dense = keras.layers.Dense(
            classes, activation="softmax" if start == "random" else None, kernel_initializer=kernel, name="dense"
        )

    def build(self, shapes: Any) -> None:
        self.dense.build((None, sum(shape[-1] for shape in shapes)))

    def call(self, members: list) -> Any:
        joined = self.dense(keras.ops.concatenate(members, axis=1))
        if self.start == "random":
            return joined
        joined = keras.ops.maximum(joined, LEAST)
        return joined / keras.ops.sum(joined, axis=1, keepdims=True)

    def compute_output_shape(self, shapes: Any) -> Any:
        return (*shapes[0][:-1], self.classes)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "classes": self.classes, "start": self.start, "seed": self.seed}


def _stacked_identities(shape: tuple[int, int], dtype: Any = None) -> Any:
    rows, classes = shape
    members = rows // classes
    return keras.ops.convert_to_tensor(np.tile(np.eye(classes), (members, 1)) / members, dtype=dtype)
