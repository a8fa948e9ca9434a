"""One Keras model from its parts: adapter, backbone, pooling, head."""

from __future__ import annotations

from dataclasses import dataclass

import keras

from cxr.core import features
from cxr.trainer.model_config import NONE, Model
from cxr.trainer.models.backbones import find
from cxr.trainer.models.heads import build_head, pooling_layers
from cxr.trainer.models.weights import Weighted, copy_weights, load_backbone


@dataclass(frozen=True)
class Assembly:
    """The parts in front of the head, joined."""

    extractor: keras.Model  # float32 [batch, size, size, 3] in [0, 1] -> features [batch, width]
    backbone: Weighted
    layers: tuple[keras.layers.Layer, ...]  # those of the extractor, in order

    @property
    def width(self) -> int:
        """How many features an image has."""
        return self.extractor.output.shape[-1]

    @property
    def network_size(self) -> int:
        """Height and width of the images that the backbone gets, pixels."""
        return int(self.backbone.network.input.shape[1])

    def with_head(self, head: keras.Model) -> keras.Model:
        """Returns the whole model, float32 [batch, size, size, 3] in [0, 1] -> [batch, classes]; it shares the parts' weights."""
        image = keras.Input(self.extractor.input.shape[1:], name=features.IMAGE_TENSOR)
        return keras.Model(image, head(_through(self.layers, image)))


def assemble(config: Model, image_size: int) -> Assembly:
    """Builds adapter, backbone and pooling of a model.

    Args:
      config: Its backbone, weights, adapter and pooling.
      image_size: Height and width of the images that come in, pixels.

    Raises:
      CxrError: No such backbone, no such weights, or sizes that do not fit.
    """
    backbone = find(config.backbone)
    size = backbone.native_size if config.image_size == "native" else (config.image_size or image_size)
    weighted = load_backbone(config, backbone, size)
    layers = [
        *([] if size == image_size else [keras.layers.Resizing(size, size, antialias=True, name="resizing", dtype="float32")]),
        *(backbone.adapter() if config.input_adapter == "auto" else []),
        weighted.network,
        *pooling_layers(config.head, weighted.network.output.shape[1:3]),
    ]
    image = keras.Input((image_size, image_size, 3), name=features.IMAGE_TENSOR)
    return Assembly(keras.Model(image, _through(layers, image)), weighted, tuple(layers))


def copy_of(model: keras.Model, config: Model, image_size: int, classes: int) -> keras.Model:
    """Returns a whole model of its own variables with the same weights, in the precision and under the strategy that now hold.

    Args:
      model: Of `Assembly.with_head`.
      config: What it was built by.
      image_size: Height and width of the images that come in, pixels.
      classes: How many.
    """
    assembly = assemble(config.model_copy(update={"weights": NONE}), image_size)
    copy = assembly.with_head(build_head(config.head, assembly.width, classes))
    copy_weights(model, copy)
    return copy


def _through(layers: tuple[keras.layers.Layer, ...] | list[keras.layers.Layer], x: keras.KerasTensor) -> keras.KerasTensor:
    for layer in layers:
        x = layer(x)
    return x
