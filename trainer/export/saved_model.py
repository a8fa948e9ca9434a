"""A trained Keras model becomes a SavedModel that TensorFlow Serving, TFMA and the infrastructure check can use."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import fingerprint_pb2
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from cxr.core import features
from cxr.data.images.reader import MAX_SIDE, READING_RULES
from cxr.trainer import artifact
from cxr.trainer.export import recorded_requests
from cxr.trainer.export.export_check import TrainedAnswers, check_export
from cxr.trainer.export.signatures import Signatures
from cxr.trainer.phantoms import phantoms
from cxr.trainer.transform_graph import TransformGraph


def export_model(
    model: keras.Model,
    *,
    name: str,
    transform: TransformGraph,
    info: dict[str, Any],
    directory: str,
    members: Sequence[str] = (),
    max_side: int = MAX_SIDE,
    trained: TrainedAnswers | None = None,
) -> None:
    """Writes a SavedModel with the signatures, its description and recorded requests, and checks it.

    Args:
      model: float32 [batch, image_size, image_size, 3] in [0, 1] -> probabilities [batch, classes].
      name: Name it will be served under.
      transform: What images and labels go through; knows classes and size.
      info: Further keys of model.json, see `artifact.ModelInfo`; `synthetic` is also told to clients.
      directory: Folder to write, of any filesystem that `tf.io.gfile` knows; must not exist or be empty.
      members: Ensemble only: names of the members; the model has a layer `probabilities_<member>` for each.
      max_side: Pixels that longer images were scaled down to before training; 0: none was.
      trained: What the network answered to some images where it was trained; `model` may be a copy of that network.

    Raises:
      ValueError: The model has not as many outputs as there are classes.
      CxrError: The SavedModel does not answer as the Keras model does when loaded as TensorFlow Serving loads it, or not as
        it did where it was trained.
    """
    class_names, image_size = transform.class_names, transform.image_size
    if model.output.shape[-1] != len(class_names):
        raise ValueError(f"{name}: the model yields {model.output.shape[-1]} probabilities for {len(class_names)} class names")
    if members:
        layers = [model.get_layer(features.MEMBER_PROBABILITIES.format(member=member)) for member in members]
        model = keras.Model(model.input, [model.output, *(layer.output for layer in layers)])

    module = Signatures(model, transform, members, max_side, info.get("synthetic"))
    # Nobody differentiates a served model, and collecting the gradients of EfficientNet's activations takes half of the export's time.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, directory, signatures=module.functions, options=options)
    _name_by_content(directory)

    about = {"name": name, "class_names": list(class_names), "image_size": image_size}
    reading = {"max_side": max_side, "reading_rules": READING_RULES}
    artifact.write_info(directory, {**info, **about, **reading})
    recorder = _Recorder(model, name, transform, members)
    examples = [recorded_requests.example_of(image) for image in phantoms()]
    recorded_requests.write_logs(directory, recorded_requests.RECORDED_REQUESTS, recorder.recorded(examples))
    recorded_requests.write_logs(directory, recorded_requests.WARMUP, recorder.warmup(examples[0]))
    # One signature shows whether a session finds the variables; the infrastructure check replays all, in a server of its own.
    check_export(directory, [features.SIGNATURE_BYTES], trained=trained)


def _name_by_content(directory: str) -> None:
    """Replaces the random number in TensorFlow's fingerprint.pb by one that follows from its hashes: equal models shall be equal files."""
    path = f"{directory}/fingerprint.pb"
    fingerprint = fingerprint_pb2.FingerprintDef.FromString(artifact.read_bytes(path))
    fingerprint.ClearField("uuid")
    digest = hashlib.sha256(fingerprint.SerializeToString(deterministic=True)).digest()
    fingerprint.uuid = str(int.from_bytes(digest[:8], "big"))  # TensorFlow too writes 64 bits in decimal
    artifact.write_bytes(path, fingerprint.SerializeToString(deterministic=True))


class _Recorder:
    """Makes requests, and their answers with the Keras model itself, so that a fault of the export cannot hide in them."""

    def __init__(
        self,
        model: keras.Model,
        name: str,
        transform: TransformGraph,
        members: Sequence[str],
    ) -> None:
        self._model, self._name, self._transform = model, name, transform
        self._class_names = np.array(transform.class_names, dtype=object)
        self._keys = [features.PROBABILITIES, *(features.MEMBER_PROBABILITIES.format(member=member) for member in members)]
        # One value in a TensorProto stands for all elements: a whole grey picture in a few bytes.
        self._grey = tf.make_tensor_proto(0.5, tf.float32, shape=[1, transform.image_size, transform.image_size, 3])

    def recorded(self, examples: Sequence[bytes]) -> Iterator[prediction_log_pb2.PredictionLog]:
        encoded = [recorded_requests.image_of(example) for example in examples]
        images = self._transform.images(tf.constant(encoded))
        answers = self._answers(tf.concat([images, tf.make_ndarray(self._grey)], axis=0))
        for example, image, answer in zip(examples, encoded, answers[:-1], strict=True):
            yield recorded_requests.log_of(self._bytes_request(features.SIGNATURE_BYTES, features.SIGNATURE_BYTES, image), answer)
            yield recorded_requests.log_of(self._bytes_request(features.SIGNATURE_EXAMPLES, features.EXAMPLES, example), answer)
        yield recorded_requests.log_of(self._tensor_request(), answers[-1])

    def warmup(self, example: bytes) -> Iterator[prediction_log_pb2.PredictionLog]:
        image = recorded_requests.image_of(example)
        yield recorded_requests.log_of(self._bytes_request(features.SIGNATURE_BYTES, features.SIGNATURE_BYTES, image))
        yield recorded_requests.log_of(self._bytes_request(features.SIGNATURE_EXAMPLES, features.EXAMPLES, example))
        yield recorded_requests.log_of(self._tensor_request())

    def _bytes_request(self, signature: str, key: str, value: bytes) -> predict_pb2.PredictRequest:
        return recorded_requests.predict_request(self._name, signature, {key: np.array([value], dtype=object)})

    def _tensor_request(self) -> predict_pb2.PredictRequest:
        return recorded_requests.predict_request(self._name, features.SIGNATURE_TENSOR, {features.SIGNATURE_TENSOR: self._grey})

    def _answers(self, images: tf.Tensor) -> list[recorded_requests.Tensors]:
        """Returns the right outputs for each image by itself."""
        outputs = self._model(images, training=False)
        arrays = [np.asarray(o, dtype=np.float32) for o in (outputs if isinstance(outputs, (list, tuple)) else [outputs])]
        labels = self._class_names[np.argmax(arrays[0], axis=1)]
        return [
            {
                **{key: array[i : i + 1] for key, array in zip(self._keys, arrays, strict=True)},
                features.PREDICTED_LABEL: labels[i : i + 1],
                features.OUTPUT_CLASS_NAMES: self._class_names[np.newaxis, :],
            }
            for i in range(len(labels))
        ]
