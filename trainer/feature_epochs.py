"""Epochs of a head on cached features. Its step is so small that tf.data and Keras's `fit` would take most of the time around it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from sklearn.utils import gen_batches

from cxr.core.stored_rows import ROWS_IN_MEMORY, Array, FloatRows
from cxr.trainer import image_epochs

ROWS_AT_ONCE = 256  # of features that are read at once; a batch of those that are asked about, not learnt from
RowNumbers = npt.NDArray[np.int64]
Values = tuple[tf.Tensor, ...]  # features [rows, width], one-hot [rows, classes], and [rows] of the weights where there are any
Metrics = Mapping[str, tf.Tensor]  # by name, float32 []


@dataclass(frozen=True)
class Examples:
    """Features with what belongs to them. A row is an image, or one of its variants: variant * images + image.

    Attributes:
      features: float32 [1 + variants, images, width].
      targets: float32 one-hot [images, classes].
      weights: float32 [images], how much each counts; None: all the same.
    """

    features: FloatRows
    targets: Array
    weights: Array | None = None

    def parts(self, order: RowNumbers, size: int) -> Iterator[tuple[Values, RowNumbers]]:
        """Yields rows in an order, as values with the order in which to take them; parts are whole batches of `size` rows.

        Up to `ROWS_IN_MEMORY` rows are read once for all epochs. Of more, memory holds about `ROWS_AT_ONCE` at a time.
        """
        if self._held:
            yield self._held, order
            return
        for part in gen_batches(len(order), max(1, ROWS_AT_ONCE // size) * size):
            yield self._read(order[part]), np.arange(len(order[part]))

    @cached_property
    def _held(self) -> Values | None:
        rows = len(self.features) * len(self.targets)
        return self._read(np.arange(rows)) if rows <= ROWS_IN_MEMORY else None

    def _read(self, rows: RowNumbers) -> Values:
        variants, images = np.divmod(rows, len(self.targets))
        values = [np.asarray(self.features[variants, images]), self.targets[images]]
        return tuple(map(tf.constant, values if self.weights is None else [*values, self.weights[images]]))


@dataclass(frozen=True)
class FeatureEpochs:
    """What a head learns from; trains it as Keras's `fit` would, with the same result.

    Attributes:
      examples: Of the training; in each epoch each image is one of its variants, drawn anew.
      validation: What is asked about after each epoch, if there is such a split.
      batch_size: The last batch of an epoch may be smaller.
      seed: The order of an epoch is a function of it and the epoch's number alone.
    """

    examples: Examples
    validation: Examples | None
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
        values, _ = next(self.examples.parts(self.order(first), self.batch_size))
        learn = _repeated(model, model.train_step, self.batch_size, values)
        ask = _repeated(model, model.test_step, ROWS_AT_ONCE, values[:2])
        told = keras.callbacks.CallbackList(list(callbacks), model=model, epochs=epochs)
        model.stop_training = False
        told.on_train_begin()
        logs: dict[str, float] = {}
        for epoch in range(first, epochs):
            told.on_epoch_begin(epoch)
            logs = _metrics(model, learn, self.examples.parts(self.order(epoch), self.batch_size))
            if self.validation:
                asked = self.validation.parts(np.arange(len(self.validation.targets)), ROWS_AT_ONCE)
                logs |= {f"val_{name}": value for name, value in _metrics(model, ask, asked).items()}
            told.on_epoch_end(epoch, logs)
            if model.stop_training:
                break
        told.on_train_end(logs)

    def order(self, epoch: int) -> RowNumbers:
        """Returns the rows of an epoch, shuffled, [images]."""
        passes, images = len(self.examples.features), len(self.examples.targets)
        seed, number = tf.constant(self.seed, tf.int64), tf.constant(epoch, tf.int64)
        shuffled = image_epochs.shuffled(images, seed, number)
        if passes == 1:
            return shuffled.numpy()
        return (_variants(seed + number, shuffled, tf.constant(passes, tf.int64)) * images + shuffled).numpy()


@tf.function(input_signature=[tf.TensorSpec([], tf.int64), tf.TensorSpec([None], tf.int64), tf.TensorSpec([], tf.int64)], autograph=False)
def _variants(seed: tf.Tensor, images: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Draws one of so many variants for each image, int64 [images]."""
    return tf.map_fn(lambda image: tf.random.stateless_uniform([], tf.stack([seed, image]), 0, count, tf.int64), images)


def _repeated(model: keras.Model, step: Callable[[Values], object], size: int, values: Values) -> Callable[[Values, RowNumbers], Metrics]:
    """Makes a function that takes a step with each batch of values like these, the last of which may be smaller.

    It returns the model's metrics since they were last reset.
    """

    def steps(values: Values, order: tf.Tensor) -> Metrics:
        def body(first: tf.Tensor) -> list[tf.Tensor]:
            step(tuple(tf.gather(value, order[first : first + size]) for value in values))
            return [first + size]

        tf.while_loop(lambda first: first < tf.size(order), body, [tf.constant(0)], parallel_iterations=1)
        return model.get_metrics_result()

    signature = [tuple(tf.TensorSpec([None, *value.shape[1:]], value.dtype) for value in values), tf.TensorSpec([None], tf.int64)]
    return tf.function(steps, input_signature=signature, autograph=False).get_concrete_function()


def _metrics(
    model: keras.Model, steps: Callable[[Values, RowNumbers], Metrics], parts: Iterable[tuple[Values, RowNumbers]]
) -> dict[str, float]:
    """Takes the steps; returns the means over all images."""
    model.reset_metrics()
    found: Metrics = {}
    for values, order in parts:
        found = steps(values, order)
    return {name: float(value) for name, value in found.items()}
