"""What a server accepts: the signatures of every SavedModel, around one trace of the network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import tensorflow as tf

from cxr.core import features
from cxr.data.images.reader import READING_RULES
from cxr.trainer.calibration_info import Conformal
from cxr.trainer.decoding import required
from cxr.trainer.export.exported_weights import ExportedWeights
from cxr.trainer.export.network import Network
from cxr.trainer.transform_graph import TransformGraph

SLICE = 32  # images of a serving_default request that go through the network at once

Outputs = dict[str, tf.Tensor]


class Signatures(tf.Module):
    """The functions that `tf.saved_model.save` exports.

    The Keras model itself is not an attribute: its variables are, as plain TensorFlow ones. Tracking the model, as the obvious
    export does, yields a SavedModel in which TensorFlow Serving does not find them (`Could not find variable …`).

    Attributes:
      functions: Signature name to function.
    """

    def __init__(
        self,
        network: Network,
        transform: TransformGraph,
        max_side: int = 0,
        synthetic: bool | None = None,
        sets: Conformal | None = None,
        enlargement: float = 1.0,
    ) -> None:
        """Traces nothing yet.

        Args:
          network: What answers, and what explains the answers.
          transform: What images and labels go through.
          max_side: Pixels that longer images were scaled down to before training; 0: none was.
          synthetic: Whether the model learnt from made-up images; None: not known.
          sets: Which classes are in the conformal set; None: no such output.
          enlargement: How much larger `transform` makes things than in the whole picture; 1: it shows all of it.
        """
        super().__init__()
        model = network.model
        weights = ExportedWeights(network)
        self._state = weights.variables
        self._transform = transform
        class_names, image_size = transform.class_names, transform.image_size
        self._class_names, self._sets = tf.constant(class_names), sets
        every = {key: [None, *value.shape[1:]] for key, value in sorted(model.output.items())}
        shapes = {key: every[key] for key in network.answers}
        heat_maps = network.heat_maps(enlargement)
        shape = [None, image_size, image_size, 3]

        # Every other function calls this one, so that a large backbone is traced and stored once.
        @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32)], autograph=False)
        def computed(images: tf.Tensor) -> Outputs:
            outputs = weights.answer(images)
            return {key: tf.ensure_shape(tf.cast(outputs[key], tf.float32), of) for key, of in every.items()}

        def answered(images: tf.Tensor, keys: Iterable[str] = network.answers) -> Outputs:
            # oneDNN's convolution fails on an empty batch: it gets one black image, whose answer is dropped.
            count = tf.shape(images)[0]
            padded = tf.pad(images, [[0, tf.cast(tf.equal(count, 0), tf.int32)], [0, 0], [0, 0], [0, 0]])
            outputs = computed(padded)
            return {key: outputs[key][:count] for key in keys}

        @_signature(features.SIGNATURE_BYTES, tf.TensorSpec([None], tf.string, name=features.SIGNATURE_BYTES))
        def image_bytes(encoded: tf.Tensor) -> Outputs:
            return self._named(answered(transform.images(encoded)))

        # The default of a SignatureDef: right for one image, and for more where the server does not batch.
        predicted = tf.constant([features.PREDICTED_CLASS], tf.int64)

        @_signature(
            features.SIGNATURE_GRADCAM,
            tf.TensorSpec([None], tf.string, name=features.SIGNATURE_BYTES),
            tf.TensorSpec([None], tf.int64, name=features.CLASS_INDEX),
        )
        def gradcam(encoded: tf.Tensor, class_index: tf.Tensor = predicted) -> Outputs:
            images, seen = transform.images_and_boxes(encoded)
            outputs = answered(images, every)
            explained = network.explained(heat_maps, outputs, class_index, seen)
            return {**self._named({key: outputs[key] for key in shapes}), **explained}

        @_signature(features.SIGNATURE_TENSOR, tf.TensorSpec(shape, tf.float32, name=features.SIGNATURE_TENSOR))
        def image_tensor(images: tf.Tensor) -> Outputs:
            # A server checks no shapes, and a rank-3 tensor that reaches a convolution aborts the whole process.
            images = tf.ensure_shape(images, shape)
            with required(tf.reduce_all(tf.math.is_finite(images)), f"{features.SIGNATURE_TENSOR} holds what is no finite number"):
                return self._named(answered(tf.identity(images)))

        @_signature(features.SIGNATURE_EXAMPLES, tf.TensorSpec([None], tf.string, name=features.EXAMPLES))
        def serving_default(examples: tf.Tensor) -> Outputs:
            encoded = tf.io.parse_example(examples, {features.IMAGE: tf.io.FixedLenFeature([], tf.string)})[features.IMAGE]
            return self._named(_in_slices(lambda part: answered(transform.images(part)), encoded, shapes))

        @_signature(features.SIGNATURE_LABELS, tf.TensorSpec([None], tf.string, name=features.EXAMPLES))
        def transform_labels(examples: tf.Tensor) -> Outputs:
            labels = tf.io.parse_example(examples, {features.LABEL: tf.io.FixedLenFeature([], tf.string)})[features.LABEL]
            return {features.LABEL_INDEX: transform.label_indices(labels)[:, tf.newaxis]}

        @_signature(features.SIGNATURE_READING, tf.TensorSpec([None], tf.string, name=features.SIGNATURE_READING))
        def image_reading(asked: tf.Tensor) -> Outputs:
            # TensorFlow Serving hands out nothing of a SavedModel but answers.
            facts = {features.MAX_SIDE: tf.constant(max_side, tf.int64), features.READING_RULES: tf.constant(READING_RULES, tf.int64)}
            if synthetic is not None:
                facts[features.LEARNT_FROM_SYNTHETIC] = tf.constant(synthetic)
            if sets:
                facts[features.CONFORMAL_COVERAGE] = tf.constant(sets.coverage, tf.float32)
            return {key: tf.fill(tf.shape(asked), value) for key, value in facts.items()}

        self._computed = computed
        functions = (serving_default, image_bytes, image_tensor, gradcam, transform_labels, image_reading)
        self.functions = {f.name: f for f in functions}

    def _named(self, outputs: Outputs) -> Outputs:
        """Adds the outputs that follow from the network's: which class each probability belongs to, and what is beyond its bound."""
        probabilities = outputs[features.PROBABILITIES]
        further = {
            features.PREDICTED_LABEL: tf.gather(self._class_names, tf.argmax(probabilities, axis=1)),
            features.OUTPUT_CLASS_NAMES: tf.broadcast_to(self._class_names, tf.shape(probabilities)),
        }
        if features.UNLIKE_TRAINING in outputs:
            further[features.OUTSIDE] = outputs[features.UNLIKE_TRAINING] > features.UNLIKE_BORDER
        if self._sets:
            most = tf.reduce_max(probabilities, axis=1, keepdims=True)
            further[features.CONFORMAL_SET] = probabilities >= tf.minimum(most, self._sets.least_probability)
        return {**outputs, **further}


def _signature(name: str, *specs: tf.TensorSpec) -> Callable[[Callable[..., Outputs]], Any]:
    def wrap(function: Callable[..., Outputs]) -> Any:
        function.__name__ = name
        return tf.function(function, input_signature=specs, autograph=False)

    return wrap


def _in_slices(answer: Callable[[tf.Tensor], Outputs], encoded: tf.Tensor, shapes: Mapping[str, list[int | None]]) -> Outputs:
    """Answers a batch of any size in bounded memory: batch jobs such as TFMA send hundreds of images at once."""
    count = tf.shape(encoded)[0]
    slices = tf.maximum(1, (count + SLICE - 1) // SLICE)  # an empty batch is one empty slice
    arrays = tuple(tf.TensorArray(tf.float32, size=slices, element_shape=of, infer_shape=False) for of in shapes.values())

    def step(i: tf.Tensor, arrays: tuple[tf.TensorArray, ...]) -> tuple[tf.Tensor, tuple[tf.TensorArray, ...]]:
        outputs = answer(encoded[i * SLICE : (i + 1) * SLICE])
        return i + 1, tuple(array.write(i, outputs[key]) for array, key in zip(arrays, shapes, strict=True))

    _, arrays = tf.while_loop(lambda i, _: i < slices, step, (tf.constant(0), arrays), parallel_iterations=1)
    return {key: tf.ensure_shape(array.concat(), of) for array, (key, of) in zip(arrays, shapes.items(), strict=True)}
