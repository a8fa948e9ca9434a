"""A trained Keras model becomes a SavedModel that TensorFlow Serving, TFMA and the infrastructure check can use."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import fingerprint_pb2
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from cxr.core import features
from cxr.core.places import WARM_UP
from cxr.data.images.reader import MAX_SIDE, READING_RULES
from cxr.trainer import files, model_info
from cxr.trainer.calibration import conformal
from cxr.trainer.calibration_info import Conformal
from cxr.trainer.export import recorded_requests
from cxr.trainer.export.network import Network
from cxr.trainer.export.signatures import Signatures
from cxr.trainer.export.trained_answers import TrainedAnswers, compare
from cxr.trainer.phantoms import phantoms
from cxr.trainer.preprocessing_config import Preprocessing
from cxr.trainer.transform_graph import TransformGraph


def export_model(
    network: Network,
    *,
    name: str,
    transform: TransformGraph,
    info: dict[str, Any],
    directory: str,
    max_side: int = MAX_SIDE,
    trained: TrainedAnswers | None = None,
) -> None:
    """Writes a SavedModel with the signatures, its description and recorded requests.

    Whether a server answers these requests as recorded is for the infrastructure check to say.

    Args:
      network: Of `network.single_network` or `joint_network`.
      name: Name it will be served under.
      transform: What images and labels go through; knows classes and size.
      info: Further keys of model.json, see `model_info.ModelInfo`; `synthetic` is also told to clients, `conformal` makes an output, and
        heat maps are laid over the picture by what `preprocessing` shows of it.
      directory: Folder to write, of any filesystem that `tf.io.gfile` knows; must not exist or be empty.
      max_side: Pixels that longer images were scaled down to before training; 0: none was.
      trained: What the network answered to some images where it was trained; `network` may be a copy of that one.

    Raises:
      ValueError: The model has not as many outputs as there are classes.
      CxrError: The network does not answer as it did where it was trained.
    """
    class_names, image_size = transform.class_names, transform.image_size
    if network.classes != len(class_names):
        raise ValueError(f"{name}: the model yields {network.classes} probabilities for {len(class_names)} class names")
    if trained:
        compare(network.model, transform, trained, name)

    enlargement = Preprocessing.model_validate(info.get("preprocessing") or {}).enlargement
    sets = Conformal.model_validate(info["conformal"]) if info.get("conformal") else None
    module = Signatures(network, transform, max_side, info.get("synthetic"), sets, enlargement)
    # Nobody differentiates a loaded model (the gradients of heat maps are part of the graph), and collecting those of EfficientNet's
    # activations takes half of the export's time.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, directory, signatures=module.functions, options=options)
    _name_by_content(directory)

    about = {"name": name, "class_names": list(class_names), "image_size": image_size}
    reading = {"max_side": max_side, "reading_rules": READING_RULES}
    model_info.write_info(directory, {**info, **about, **reading})
    recorder = _Recorder(network, name, transform, sets, enlargement)
    examples = [recorded_requests.example_of(image) for image in phantoms()]
    recorded_requests.write_logs(directory, recorded_requests.RECORDED_REQUESTS, recorder.recorded(examples))
    recorded_requests.write_logs(directory, WARM_UP, recorder.warmup(examples[0]))


def _name_by_content(directory: str) -> None:
    """Replaces the random number in TensorFlow's fingerprint.pb by one that follows from its hashes: equal models shall be equal files."""
    path = f"{directory}/fingerprint.pb"
    fingerprint = fingerprint_pb2.FingerprintDef.FromString(files.read_bytes(path))
    fingerprint.ClearField("uuid")
    digest = hashlib.sha256(fingerprint.SerializeToString(deterministic=True)).digest()
    fingerprint.uuid = str(int.from_bytes(digest[:8], "big"))  # TensorFlow too writes 64 bits in decimal
    files.write_bytes(path, fingerprint.SerializeToString(deterministic=True))


class _Recorder:
    """Makes requests, and their answers with the Keras model itself, so that a fault of the export cannot hide in them."""

    def __init__(
        self,
        network: Network,
        name: str,
        transform: TransformGraph,
        sets: Conformal | None,
        enlargement: float,
    ) -> None:
        self._network, self._name, self._transform, self._sets = network, name, transform, sets
        self._heat_maps = network.heat_maps(enlargement)
        self._class_names = np.array(transform.class_names, dtype=object)
        # One value in a TensorProto stands for all elements: a whole grey picture in a few bytes.
        self._grey = tf.make_tensor_proto(0.5, tf.float32, shape=[1, transform.image_size, transform.image_size, 3])

    def recorded(self, examples: Sequence[bytes]) -> Iterator[prediction_log_pb2.PredictionLog]:
        encoded = [recorded_requests.image_of(example) for example in examples]
        shown, boxes = self._transform.images_and_boxes(tf.constant(encoded))
        images = tf.concat([shown, tf.make_ndarray(self._grey)], axis=0)
        outputs = {key: tf.cast(value, tf.float32) for key, value in self._network.model(images, training=False).items()}
        answers = self._answers(outputs)
        for example, image, answer in zip(examples, encoded, answers[:-1], strict=True):
            yield recorded_requests.log_of(self._bytes_request(features.SIGNATURE_BYTES, features.SIGNATURE_BYTES, image), answer)
            yield recorded_requests.log_of(self._bytes_request(features.SIGNATURE_EXAMPLES, features.EXAMPLES, example), answer)
        yield recorded_requests.log_of(self._tensor_request(), answers[-1])
        # The image that is told most surely: no rounding shall choose another class to explain.
        surest = int(np.ptp(np.sort(outputs[features.PROBABILITIES][:-1], axis=1)[:, -2:], axis=1).argmax())
        least = int(np.argmin(outputs[features.PROBABILITIES][surest]))
        for class_index in (features.PREDICTED_CLASS, least):
            request = self._gradcam_request(encoded[surest], class_index)
            yield recorded_requests.log_of(request, {**answers[surest], **self._explained(outputs, boxes, surest, class_index)})

    def warmup(self, example: bytes) -> Iterator[prediction_log_pb2.PredictionLog]:
        # Not `gradcam`: a server prepares the whole network for each signature that it warms up, and would start a third later.
        image = recorded_requests.image_of(example)
        yield recorded_requests.log_of(self._bytes_request(features.SIGNATURE_BYTES, features.SIGNATURE_BYTES, image))
        yield recorded_requests.log_of(self._bytes_request(features.SIGNATURE_EXAMPLES, features.EXAMPLES, example))
        yield recorded_requests.log_of(self._tensor_request())

    def _bytes_request(self, signature: str, key: str, value: bytes) -> predict_pb2.PredictRequest:
        return recorded_requests.predict_request(self._name, signature, {key: np.array([value], dtype=object)})

    def _gradcam_request(self, image: bytes, class_index: int) -> predict_pb2.PredictRequest:
        inputs = {features.SIGNATURE_BYTES: np.array([image], dtype=object), features.CLASS_INDEX: np.array([class_index], np.int64)}
        return recorded_requests.predict_request(self._name, features.SIGNATURE_GRADCAM, inputs)

    def _tensor_request(self) -> predict_pb2.PredictRequest:
        return recorded_requests.predict_request(self._name, features.SIGNATURE_TENSOR, {features.SIGNATURE_TENSOR: self._grey})

    def _answers(self, computed: Mapping[str, tf.Tensor]) -> list[recorded_requests.Tensors]:
        """Returns the right outputs for each image by itself."""
        outputs: dict[str, np.ndarray] = {key: np.asarray(computed[key]) for key in self._network.answers}
        probabilities = outputs[features.PROBABILITIES]
        outputs[features.PREDICTED_LABEL] = self._class_names[np.argmax(probabilities, axis=1)]
        outputs[features.OUTPUT_CLASS_NAMES] = np.tile(self._class_names, [len(probabilities), 1])
        if features.UNLIKE_TRAINING in outputs:
            outputs[features.OUTSIDE] = outputs[features.UNLIKE_TRAINING] > features.UNLIKE_BORDER
        if self._sets:
            outputs[features.CONFORMAL_SET] = conformal.members(probabilities, self._sets.least_probability)
        return [{key: array[i : i + 1] for key, array in outputs.items()} for i in range(len(probabilities))]

    def _explained(self, computed: Mapping[str, tf.Tensor], boxes: tf.Tensor, image: int, class_index: int) -> recorded_requests.Tensors:
        one = {key: value[image : image + 1] for key, value in computed.items()}
        found = self._network.explained(self._heat_maps, one, tf.constant([class_index], tf.int64), boxes[image : image + 1])
        return {key: np.asarray(value) for key, value in found.items()}
