"""The networks that are exported: the Keras models beside them, with further outputs by name."""

from __future__ import annotations

from collections.abc import Mapping

import keras

from cxr.core import features
from cxr.trainer.calibration.layers import JointOutsideScore, OutsideScore
from cxr.trainer.calibration.outside import Detector


def named_outputs(model: keras.Model) -> keras.Model:
    """Returns a model whose outputs have names; a single one is PROBABILITIES."""
    if isinstance(model.output, dict):
        return model
    return keras.Model(model.input, {features.PROBABILITIES: model.output}, name=model.name)


def with_outside_score(model: keras.Model, detector: Detector) -> keras.Model:
    """Returns a network of the same layers that also says how unlike the training images its image is.

    Args:
      model: A chain of layers, the last of which is the head: float32 [batch, size, size, 3] -> [batch, classes].
      detector: Fitted on what the head gets.

    Returns:
      The same input -> PROBABILITIES and UNLIKE_TRAINING by name.
    """
    *front, head = model.layers[1:]
    image = pooled = keras.Input(model.input.shape[1:], name=features.IMAGE_TENSOR)
    for layer in front:
        pooled = layer(pooled)
    score = OutsideScore(detector, name=features.UNLIKE_TRAINING)(pooled)
    return keras.Model(image, {features.PROBABILITIES: head(pooled), features.UNLIKE_TRAINING: score}, name=model.name)


def joint_network(
    model: keras.Model, members: Mapping[str, keras.Model], detectors: Mapping[str, Detector], shift: float | None
) -> keras.Model:
    """Returns an ensemble's network with what its members say.

    Args:
      model: Of `ensemble.joining.joint_model`.
      members: Its members, by name.
      detectors: Theirs, in the same order; not read where `shift` is None.
      shift: Of the joint score, see `outside.fit_joint`; None: there is none.

    Returns:
      The same input -> PROBABILITIES, MEMBER_PROBABILITIES of each member and, with a shift, UNLIKE_TRAINING by name.
    """
    keys = [features.MEMBER_PROBABILITIES.format(member=name) for name in members]
    if shift is None:
        outputs = {key: model.get_layer(key).output for key in keys}
        return keras.Model(model.input, {features.PROBABILITIES: model.output, **outputs}, name=model.name)
    image = keras.Input(model.input.shape[1:], name=features.IMAGE_TENSOR)
    answers = [with_outside_score(member, detectors[name])(image) for name, member in members.items()]
    outputs = {key: model.get_layer(key)(answer[features.PROBABILITIES]) for key, answer in zip(keys, answers, strict=True)}
    joined: keras.KerasTensor | list[keras.KerasTensor] = list(outputs.values())
    for layer in model.layers[model.layers.index(model.get_layer(keys[-1])) + 1 :]:  # the vote and, where there is one, the temperature
        joined = layer(joined)
    score = JointOutsideScore(shift, name=features.UNLIKE_TRAINING)([answer[features.UNLIKE_TRAINING] for answer in answers])
    return keras.Model(image, {features.PROBABILITIES: joined, **outputs, features.UNLIKE_TRAINING: score}, name=model.name)
