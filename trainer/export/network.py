"""The networks that are exported: the Keras models beside them, with further outputs by name and what explains them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import keras
import tensorflow as tf

from cxr.core import features
from cxr.trainer.calibration.layers import JointOutsideScore, OutsideScore
from cxr.trainer.calibration.outside import Detector
from cxr.trainer.explain.gradcam import GradCam
from cxr.trainer.explain.heat_maps import HeatMaps
from cxr.trainer.models.backbones import LAYER as BACKBONE
from cxr.trainer.models.backbones import all_layers

_MAP = "feature_map_{member}"  # output that stays inside of the SavedModel


@dataclass(frozen=True)
class Network:
    """What is exported of a model.

    Attributes:
      model: float32 [batch, image_size, image_size, 3] in [0, 1] -> PROBABILITIES [batch, classes] and the other outputs by name, among
        them the feature maps.
      cams: Of each member by its name; of one by its own name where the model is none of several.
      vote: What joins the members' probabilities; None: there are no members.
    """

    model: keras.Model
    cams: Mapping[str, GradCam]
    vote: keras.layers.Layer | None = None

    @property
    def classes(self) -> int:
        """How many there are."""
        return int(self.model.output[features.PROBABILITIES].shape[-1])

    @property
    def answers(self) -> tuple[str, ...]:
        """Names of the outputs that clients see, in alphabetical order."""
        return tuple(sorted(set(self.model.output) - {_MAP.format(member=name) for name in self.cams}))

    @property
    def backbone_layers(self) -> list[keras.layers.Layer]:
        """What only `model` computes with; heat maps take no more than the heads' layers."""
        return [layer for cam in self.cams.values() for layer in all_layers(cam.front)]

    def heat_maps(self, enlargement: float) -> HeatMaps:
        """Returns what explains the outputs, see `HeatMaps`."""
        return HeatMaps(self.cams, self.vote, enlargement)

    def explained(
        self, heat_maps: HeatMaps, outputs: Mapping[str, tf.Tensor], class_index: tf.Tensor, seen: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Returns the heat maps of a batch.

        Args:
          heat_maps: Of `heat_maps`.
          outputs: Of `model`, float32.
          class_index: int64 [batch] or [1].
          seen: What the network sees of each picture, float32 [batch, 4].
        """
        maps = {name: outputs[_MAP.format(member=name)] for name in self.cams}
        shares = [outputs[features.MEMBER_PROBABILITIES.format(member=name)] for name in self.cams] if self.vote else []
        return heat_maps(maps, outputs[features.PROBABILITIES], shares, class_index, seen)


def single_network(model: keras.Model, detector: Detector | None = None) -> Network:
    """Returns the network of a model with one backbone.

    Args:
      model: A chain of layers, the last of which is the head: float32 [batch, size, size, 3] -> [batch, classes].
      detector: Fitted on what the head gets; None: the network does not say how unlike the training images its image is.
    """
    return Network(_tapped(model, model.name, detector), {model.name: GradCam(model)})


def joint_network(
    model: keras.Model, members: Mapping[str, keras.Model], detectors: Mapping[str, Detector], shift: float | None
) -> Network:
    """Returns an ensemble's network with what its members say.

    Args:
      model: Of `ensemble.joining.joint_model`.
      members: Its members, by name; chains as in `single_network`.
      detectors: Theirs, in the same order; not read where `shift` is None.
      shift: Of the joint score, see `outside.fit_joint`; None: there is none.
    """
    image = keras.Input(model.input.shape[1:], name=features.IMAGE_TENSOR)
    answers = {name: _tapped(one, name, detectors[name] if shift is not None else None)(image) for name, one in members.items()}
    keys = {name: features.MEMBER_PROBABILITIES.format(member=name) for name in members}
    outputs = {key: model.get_layer(key)(answers[name][features.PROBABILITIES]) for name, key in keys.items()}
    vote, *further = [layer for layer in model.layers[1:] if layer.name not in (*members, *keys.values())]
    joined = vote(list(outputs.values()))
    for layer in further:  # the temperature, where there is one
        joined = layer(joined)
    outputs |= {features.PROBABILITIES: joined}
    outputs |= {_MAP.format(member=name): answer[_MAP.format(member=name)] for name, answer in answers.items()}
    if shift is not None:
        scores = [answer[features.UNLIKE_TRAINING] for answer in answers.values()]
        outputs[features.UNLIKE_TRAINING] = JointOutsideScore(shift, name=features.UNLIKE_TRAINING)(scores)
    return Network(keras.Model(image, outputs, name=model.name), {name: GradCam(member) for name, member in members.items()}, vote)


def _tapped(model: keras.Model, name: str, detector: Detector | None) -> keras.Model:
    """Returns a model of the same layers: images -> PROBABILITIES, the feature map and, with a detector, UNLIKE_TRAINING by name."""
    *front, head = model.layers[1:]
    image = x = keras.Input(model.input.shape[1:], name=features.IMAGE_TENSOR)
    outputs = {}
    for layer in front:
        x = layer(x)
        if layer.name == BACKBONE:
            outputs[_MAP.format(member=name)] = x
    outputs[features.PROBABILITIES] = head(x)
    if detector:
        outputs[features.UNLIKE_TRAINING] = OutsideScore(detector, name=features.UNLIKE_TRAINING)(x)
    return keras.Model(image, outputs, name=model.name)
