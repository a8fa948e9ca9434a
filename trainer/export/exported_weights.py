"""A network's weights as they are exported, and the graph that answers with them: the numbers of the Keras model from fewer nodes.

Whatever is done to a graph (tracing, storing, loading, placing, optimising) takes time for each node and each variable, in each signature.
In inference a batch normalisation is one multiplication and one addition, for which Keras makes sixteen nodes from four variables: three
quarters of DenseNet201's graph, half of EfficientNetB7's. docs/performance.md has what it saves.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from cxr.trainer.export.network import Network


class ExportedWeights:
    """The weights of a network: the backbones' batch normalisations as scale and offset, with their other vectors in one variable.

    DenseNet201 has 1,008 variables, 804 of them vectors that hold 1 % of its numbers. One Split, of a megabyte, gives the vectors back.

    Attributes:
      variables: What the answers are computed from.
    """

    def __init__(self, network: Network) -> None:
        """Takes the weights as they are now; what changes them later changes no answer.

        Args:
          network: Whose they are.
        """
        self._model = network.model
        layers = network.backbone_layers
        self._normalizations = [layer for layer in layers if _ends_on_channels(layer)]
        self._silus = [layer for layer in layers if getattr(layer, "activation", None) is keras.activations.silu]
        replaced = {id(variable) for layer in self._normalizations for variable in layer.variables}
        ours = [variable for layer in layers for variable in layer.variables if id(variable) not in replaced]
        packed = [variable for variable in ours if len(variable.shape) == 1 and variable.dtype == tf.float32.name]
        self._place = {id(variable): number for number, variable in enumerate(packed)}
        vectors = [variable.value for variable in packed]
        for layer in self._normalizations:
            vectors += _scale_and_offset(layer)
        self._sizes = [vector.shape[0] for vector in vectors]
        self._packed = tf.Variable(tf.concat(vectors, axis=0), trainable=False) if vectors else None
        others = [variable.value for variable in self._model.variables if id(variable) not in replaced | self._place.keys()]
        self.variables = [*others, *([] if self._packed is None else [self._packed])]

    def answer(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the model's outputs, in inference mode; to be traced."""
        vectors = [] if self._packed is None else tf.split(self._packed, self._sizes)
        trained, others = (
            [vectors[self._place[id(variable)]] if id(variable) in self._place else variable.value for variable in variables]
            for variables in (self._model.trainable_variables, self._model.non_trainable_variables)
        )
        folded = iter(vectors[len(self._place) :])
        calls = [_normalized(layer, scale, offset) for layer, scale, offset in zip(self._normalizations, folded, folded, strict=True)]
        # Keras has no public way to run a model with other layers that does not build it anew, which takes longer than it saves.
        with _set(self._normalizations, "call", calls), _set(self._silus, "activation", [_silu] * len(self._silus)):
            outputs, _ = self._model.stateless_call(trained, others, images, training=False)
        return outputs


def _ends_on_channels(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.layers.BatchNormalization) and layer.axis in (-1, layer.input_spec.ndim - 1)


def _scale_and_offset(layer: keras.layers.BatchNormalization) -> list[tf.Tensor]:
    """Returns what the layer multiplies by and adds, float32 [channels] each, in the order of operations of tf.nn.batch_normalization."""
    scale = tf.math.rsqrt(layer.moving_variance.value + layer.epsilon)
    if layer.scale:
        scale *= layer.gamma.value
    beta = layer.beta.value if layer.center else 0.0
    return [scale, beta - layer.moving_mean.value * scale]


def _normalized(layer: keras.layers.BatchNormalization, scale: tf.Tensor, offset: tf.Tensor) -> Callable[..., tf.Tensor]:
    def call(inputs: tf.Tensor, training: bool | None = None, mask: tf.Tensor | None = None) -> tf.Tensor:
        # As Keras does: half precision is left for the sum and the product.
        return tf.cast(tf.cast(inputs, tf.float32) * scale + offset, layer.compute_dtype)

    return call


def _silu(x: tf.Tensor) -> tf.Tensor:
    """tf.nn.silu without its gradient, which takes four further nodes."""
    return x * tf.sigmoid(x)


@contextlib.contextmanager
def _set(layers: Sequence[keras.layers.Layer], name: str, values: Sequence[Any]) -> Iterator[None]:
    """Gives each layer an attribute of its own meanwhile."""
    own = [vars(layer).get(name) for layer in layers]
    try:
        for layer, value in zip(layers, values, strict=True):
            vars(layer)[name] = value  # past Keras's bookkeeping of what a layer consists of
        yield
    finally:
        for layer, value in zip(layers, own, strict=True):
            if value is None:
                vars(layer).pop(name, None)
            else:
                vars(layer)[name] = value
