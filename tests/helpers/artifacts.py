"""Artifacts for executors that tests call by themselves, and a model that answers at once."""

from pathlib import Path

import tensorflow as tf
from tfx.types import Artifact

from cxr.core import features
from cxr.trainer import artifact
from cxr.trainer.preprocessing import label_to_index


def of(kind: type[Artifact], uri: str | Path, **properties: object) -> list[Artifact]:
    """Returns an artifact of a type in a list, as executors take them."""
    made = kind()
    made.uri = str(uri)
    for name, value in properties.items():
        setattr(made, name, value)
    return [made]


class NumbersLabels(tf.Module):
    """The signature of a model that tells TFMA the number of an example's label."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=features.EXAMPLES)])
    def labels(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(examples, {features.LABEL: tf.io.FixedLenFeature([1], tf.string)})
        return {features.LABEL_INDEX: label_to_index(parsed[features.LABEL], features.CLASS_NAMES)}


class _Constant(NumbersLabels):
    def __init__(self, answer: tuple[float, ...]) -> None:
        super().__init__()
        self.answer = tf.Variable([answer])

    def _answers(self, asked: tf.Tensor) -> dict[str, tf.Tensor]:
        return {features.PROBABILITIES: tf.tile(self.answer, [tf.shape(asked)[0], 1])}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=features.EXAMPLES)])
    def serve(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._answers(examples)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=features.SIGNATURE_BYTES)])
    def image_bytes(self, encoded: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._answers(encoded)


def export_constant(uri: str, answer: tuple[float, ...] = (0.6, 0.3, 0.1)) -> None:
    """Writes a Model artifact whose SavedModel gives every image the same answer."""
    module = _Constant(answer)
    signatures = {features.SIGNATURE_EXAMPLES: module.serve, features.SIGNATURE_LABELS: module.labels}
    tf.saved_model.save(module, artifact.serving_dir(uri), signatures={**signatures, features.SIGNATURE_BYTES: module.image_bytes})
