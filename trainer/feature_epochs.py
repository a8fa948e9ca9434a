"""Epochs of a head on cached features. Its step is so small that tf.data and Keras's `fit` would take most of the time around it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from sklearn.utils import gen_batches

from cxr.core.stored_rows import FloatRows
from cxr.trainer import inputs

AT_ONCE = 256  # images whose features are in memory; a batch of those that are asked about, not learnt from
Array = npt.NDArray[np.float32]
Part = tuple[Array, ...]  # features [images, width], one-hot [images, classes], and [images] of the weights where there are any


@dataclass(frozen=True)
class FeatureEpochs:
    """What a head learns from; trains it as Keras's `fit` would, with the same result.

    Attributes:
      features: float32 [1 + variants, images, width]; in each epoch each image is one of its variants, drawn anew.
      targets: float32 one-hot [images, classes].
      weights: float32 [images], how much each counts; None: all the same.
      validation: Features [images, width] and targets of what is asked about after each epoch, if there is such a split.
      batch_size: The last batch of an epoch may be smaller.
      seed: The order of an epoch is a function of it and the epoch's number alone.
    """

    features: FloatRows
    targets: Array
    weights: Array | None
    validation: tuple[FloatRows, Array] | None
    batch_size: int
    seed: int

    def fit(self, model: keras.Model, epochs: int, first: int, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        """Trains.

        Args:
          model: Compiled; float32 [batch, width] -> [batch, classes].
          epochs: How many there are.
          first: Epochs that are behind us.
          callbacks: What they do before and after batches is not called.
        """
        part = next(self.epoch(first))
        _build(model, part)
        learn = _repeated(model.train_step, self.batch_size, part)
        ask = _repeated(model.test_step, AT_ONCE, part[:2])
        told = keras.callbacks.CallbackList(list(callbacks), model=model, epochs=epochs)
        model.stop_training = False
        told.on_train_begin()
        logs: dict[str, float] = {}
        for epoch in range(first, epochs):
            told.on_epoch_begin(epoch)
            logs = _metrics(model, learn, self.epoch(epoch))
            if self.validation:
                logs |= {f"val_{name}": value for name, value in _metrics(model, ask, self.asked()).items()}
            told.on_epoch_end(epoch, logs)
            if model.stop_training:
                break
        told.on_train_end(logs)

    def epoch(self, number: int) -> Iterator[Part]:
        """Yields the images of an epoch, shuffled, in whole batches of which about `AT_ONCE` images are read at once."""
        count = len(self.targets)
        seed, epoch = tf.constant(self.seed, tf.int64), tf.constant(number, tf.int64)
        shuffled = inputs.shuffled(count, seed, epoch)
        variants = np.zeros(count, np.int64)
        if len(self.features) > 1:
            variants = _variants(seed + epoch, shuffled, tf.constant(len(self.features), tf.int64)).numpy()
        indices = shuffled.numpy()
        for part in gen_batches(count, max(1, AT_ONCE // self.batch_size) * self.batch_size):
            some = indices[part]
            targets = [self.targets[some]] if self.weights is None else [self.targets[some], self.weights[some]]
            yield np.asarray(self.features[variants[part], some]), *targets

    def asked(self) -> Iterator[Part]:
        """Yields the images of the validation split in their order, batch by batch."""
        assert self.validation is not None
        features, targets = self.validation
        for part in gen_batches(len(targets), AT_ONCE):
            yield np.asarray(features[part]), targets[part]


@tf.function(input_signature=[tf.TensorSpec([], tf.int64), tf.TensorSpec([None], tf.int64), tf.TensorSpec([], tf.int64)], autograph=False)
def _variants(seed: tf.Tensor, indices: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Draws one of so many variants for each image, int64 [images]."""
    return tf.map_fn(lambda index: tf.random.stateless_uniform([], tf.stack([seed, index]), 0, count, tf.int64), indices)


def _build(model: keras.Model, part: Part) -> None:
    """Makes the variables that would otherwise be made in the first step, which TensorFlow would then trace twice."""
    model.optimizer.build(model.trainable_variables)
    features, targets = part[0][:1], part[1][:1]
    model.compute_metrics(features, targets, model(features, training=False))


def _repeated(step: Callable[[tuple[tf.Tensor, ...]], object], size: int, part: Part) -> Callable[[Part], None]:
    """Makes a function that takes a step with each batch of a part like this one; the last batch may be smaller."""

    def steps(values: tuple[tf.Tensor, ...]) -> None:
        def body(first: tf.Tensor) -> list[tf.Tensor]:
            step(tuple(value[first : first + size] for value in values))
            return [first + size]

        count = tf.shape(values[0])[0]
        tf.while_loop(lambda first: first < count, body, [tf.constant(0)], parallel_iterations=1)

    signature = tuple(tf.TensorSpec([None, *values.shape[1:]], values.dtype) for values in part)
    return tf.function(steps, input_signature=[signature], autograph=False).get_concrete_function()


def _metrics(model: keras.Model, steps: Callable[[Part], None], parts: Iterable[Part]) -> dict[str, float]:
    """Takes the steps; returns the means over all images."""
    model.reset_metrics()
    for part in parts:
        steps(part)
    return {name: float(value) for name, value in model.get_metrics_result().items()}
