"""The backbones: DenseNet201, EfficientNetB7, MobileNet, and whatever else keras.applications has.

To add one, give it an entry in `BACKBONES`. A name without an entry is looked up in keras.applications.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras

from cxr.core.errors import CxrError
from cxr.trainer.models.adapters import adapter_layers

LAYER = "backbone"  # name of the nested model; its output is the last feature map [batch, height, width, channels]
_KERNELS = "{}_weights_tf_dim_ordering_tf_kernels_notop.h5"


@dataclass(frozen=True)
class Backbone:
    """A network without its classification layers."""

    name: str  # as keras.applications spells it
    weights_file: str  # the name under which Keras keeps the ImageNet weights
    native_size: int = 224  # pixels, of the images these weights were trained on

    @property
    def constructor(self) -> Callable[..., keras.Model]:
        """Of keras.applications."""
        return getattr(keras.applications, self.name)

    @property
    def preprocess_input(self) -> Callable[[Any], Any]:
        """From [0, 255] to what the weights expect."""
        return sys.modules[self.constructor.__module__].preprocess_input

    def adapter(self) -> list[keras.layers.Layer]:
        """Returns the layers from [0, 1] to what the weights expect."""
        return adapter_layers(self.preprocess_input)


BACKBONES = (
    Backbone("DenseNet201", _KERNELS.format("densenet201")),
    Backbone("EfficientNetB7", "efficientnetb7_notop.h5", native_size=600),
    Backbone("MobileNet", "mobilenet_1_0_224_tf_no_top.h5"),
)

# Pattern of the name, template of Keras's weights file (with the pattern's groups, lower case), native size.
_FAMILIES = (
    (r"(DenseNet\d+|ResNet\d+(?:V2)?|VGG\d+)", _KERNELS, 224),
    (r"(Xception)", _KERNELS, 299),
    (r"(Inception)(V3)", _KERNELS.format("{}_{}"), 299),
    (r"(Inception)(ResNet)(V2)", _KERNELS.format("{}_{}_{}"), 299),
    (r"(EfficientNetB0)", "{}_notop.h5", 224),
    (r"(EfficientNetB1)", "{}_notop.h5", 240),
    (r"(EfficientNetB2)", "{}_notop.h5", 260),
    (r"(EfficientNetB3)", "{}_notop.h5", 300),
    (r"(EfficientNetB4)", "{}_notop.h5", 380),
    (r"(EfficientNetB5)", "{}_notop.h5", 456),
    (r"(EfficientNetB6)", "{}_notop.h5", 528),
    (r"(EfficientNetV2)(B0)", "{}-{}_notop.h5", 224),
    (r"(EfficientNetV2)(B1)", "{}-{}_notop.h5", 240),
    (r"(EfficientNetV2)(B2)", "{}-{}_notop.h5", 260),
    (r"(EfficientNetV2)(B3)", "{}-{}_notop.h5", 300),
    (r"(EfficientNetV2)(S)", "{}-{}_notop.h5", 384),
    (r"(EfficientNetV2)([ML])", "{}-{}_notop.h5", 480),
    (r"(ConvNeXt)(\w+)", "{}_{}_notop.h5", 224),
    (r"MobileNetV2", "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5", 224),
    (r"MobileNetV3(Small|Large)", "weights_mobilenet_v3_{}_224_1.0_float_no_top_v2.h5", 224),
    (r"NASNet(Mobile)", "nasnet_{}_no_top.h5", 224),
    (r"NASNet(Large)", "nasnet_{}_no_top.h5", 331),
)


def names() -> list[str]:
    """Returns all names that `find` knows, as keras.applications spells them."""
    return sorted(name for name in dir(keras.applications) if name[0].isupper() and callable(getattr(keras.applications, name)))


def find(name: str) -> Backbone:
    """Returns the backbone of a name; upper and lower case are the same.

    Raises:
      CxrError: There is none.
    """
    for backbone in BACKBONES:
        if backbone.name.lower() == name.lower():
            return backbone
    spelled = next((known for known in names() if known.lower() == name.lower()), None)
    if spelled is None:
        raise CxrError(f"backbone {name!r}: keras.applications has no such model; it has {', '.join(names())}")
    for pattern, template, size in _FAMILIES:
        if match := re.fullmatch(pattern, spelled):
            return Backbone(spelled, template.format(*(group.lower() for group in match.groups())), size)
    return Backbone(spelled, f"{spelled.lower()}_notop.h5")


def all_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yields a model's layers, those of nested models in their place."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from all_layers(layer)
        else:
            yield layer


def build(backbone: Backbone, size: int) -> keras.Model:
    """Builds the network up to its last feature map, with random weights.

    This is the only way in which a network is built, whatever weights it gets afterwards: with weights="imagenet" keras.applications
    gives some networks a layer more (see trainer/models/weights.py), and a copy built without it would not answer as the original.

    Args:
      backbone: Which.
      size: Height and width of its input, pixels.

    Returns:
      What its adapter yields, [batch, size, size, 3], to a feature map [batch, height, width, channels].

    Raises:
      CxrError: The network cannot take images of this size.
    """
    try:
        network = backbone.constructor(include_top=False, weights=None, input_shape=(size, size, 3))
    except ValueError as error:
        if "input" not in str(error).lower():
            raise
        raise CxrError(f"{backbone.name}: images of {size} pixels do not fit (set image_size): {error}") from None
    if 0 in network.output.shape[1:3]:
        raise CxrError(f"{backbone.name}: images of {size} pixels are too small; set a larger image_size")
    return keras.Model(network.inputs[0], network.outputs[0], name=LAYER)
