"""Requests kept with a SavedModel: some with their right answers, to check a server with, and some to warm it up.

Both are TFRecords of TensorFlow Serving's PredictionLog in the SavedModel's `assets.extra`. Their pictures are drawn (trainer/phantoms.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from cxr.core import features
from cxr.core.places import EXTRA
from cxr.trainer import files

RECORDED_REQUESTS = f"{EXTRA}/recorded_requests.tfrecord"  # below the SavedModel
# UNLIKE_TRAINING counts features in their standard deviations, and a heat map is divided by its maximum, which is what positive and
# negative evidence leave of each other: both enlarge rounding, in random networks above all.
SCORE_FACTOR = 10
_HEAT_MAPS = features.MEMBER_HEAT_MAP.format(member="")

Tensors = Mapping[str, np.ndarray]


def image_of(example: bytes) -> bytes:
    """Returns the encoded image of a serialized raw tf.Example.

    Raises:
      ValueError: It has none.
    """
    values = tf.train.Example.FromString(example).features.feature[features.IMAGE].bytes_list.value
    if len(values) != 1:
        raise ValueError(f"a recorded example has {len(values)} values of feature {features.IMAGE!r}, one is needed")
    return values[0]


def example_of(encoded: bytes) -> bytes:
    """Returns a serialized raw tf.Example that holds nothing but an encoded image."""
    image = tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded]))
    return tf.train.Example(features=tf.train.Features(feature={features.IMAGE: image})).SerializeToString(deterministic=True)


def predict_request(
    model_name: str, signature: str, inputs: Mapping[str, np.ndarray | tensor_pb2.TensorProto]
) -> predict_pb2.PredictRequest:
    """Builds a Predict request from arrays, or from TensorProtos made elsewhere."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model_name
    request.model_spec.signature_name = signature
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(value if isinstance(value, tensor_pb2.TensorProto) else tf.make_tensor_proto(value))
    return request


def log_of(request: predict_pb2.PredictRequest, outputs: Tensors | None = None) -> prediction_log_pb2.PredictionLog:
    """Returns the log of a request and, where given, its right answer."""
    log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
    if outputs is not None:
        response = log.predict_log.response
        response.model_spec.CopyFrom(request.model_spec)
        for key, value in outputs.items():
            response.outputs[key].CopyFrom(tf.make_tensor_proto(value))
    return log


def write_logs(saved_model: str, file: str, logs: Iterable[prediction_log_pb2.PredictionLog]) -> None:
    """Writes a TFRecord, uncompressed (TensorFlow Serving reads no other), of a SavedModel, at a path below it."""
    path = f"{saved_model}/{file}"
    files.make_parent(path)
    with tf.io.TFRecordWriter(path) as writer:
        for log in logs:
            # Without `deterministic` the order of a map's entries changes from process to process, and with it the export's fingerprint.
            writer.write(log.SerializeToString(deterministic=True))


def read_recorded(saved_model: str) -> Iterator[prediction_log_pb2.PredictionLog]:
    """Yields the requests, each with its answer, that were recorded when the model was exported; nothing where there are none."""
    file = f"{saved_model}/{RECORDED_REQUESTS}"
    if tf.io.gfile.exists(file):
        for record in tf.data.TFRecordDataset(file).as_numpy_iterator():
            yield prediction_log_pb2.PredictionLog.FromString(record)


def recorded_answers(saved_model: str, output: str) -> list[np.ndarray]:
    """Returns one output of every recorded answer to an encoded image, in the order they were recorded: the same images for all models.

    Args:
      saved_model: Folder of the SavedModel.
      output: Its name.
    """
    logs = (log.predict_log for log in read_recorded(saved_model))
    return [
        tf.make_ndarray(log.response.outputs[output]) for log in logs if log.request.model_spec.signature_name == features.SIGNATURE_BYTES
    ]


def differences(expected: Tensors, answered: Tensors, tolerance: float) -> Iterator[str]:
    """Yields a sentence for each way in which an answer is not the expected one.

    Args:
      expected: Output name to array.
      answered: The same, from the server.
      tolerance: Largest absolute difference allowed between numbers (SCORE_FACTOR times that between scores and in heat maps); names,
        shapes, types, strings and flags must be equal, but for the label of classes that are as probable as each other within it, and
        for flags whose number lies on their bound.
    """
    if set(expected) != set(answered):
        yield f"outputs {', '.join(sorted(answered))} instead of {', '.join(sorted(expected))}"
        return
    for name in sorted(expected):
        want, got = expected[name], answered[name]
        if want.shape != got.shape or want.dtype != got.dtype:
            yield f"{name} is {got.dtype}{list(got.shape)} instead of {want.dtype}{list(want.shape)}"
        elif np.issubdtype(want.dtype, np.number):
            enlarged = name in (features.UNLIKE_TRAINING, features.HEAT_MAP) or name.startswith(_HEAT_MAPS)
            allowed = tolerance * (SCORE_FACTOR if enlarged else 1)
            if not np.allclose(got, want, rtol=0, atol=allowed):  # NaN equals nothing, as it should here
                yield f"{name} differs by {np.max(np.abs(got - want)):.3g}, {allowed:g} is allowed"
        elif not np.array_equal(want, got) and not _by_rounding(name, expected, answered, tolerance):
            yield f"{name} is {got.tolist()} instead of {want.tolist()}"


def _by_rounding(name: str, expected: Tensors, answered: Tensors, tolerance: float) -> bool:
    """Whether an output that follows from numbers is another one because these lie on its bound."""
    if name == features.PREDICTED_LABEL:
        return _tied(expected, answered[name], tolerance)
    if name == features.OUTSIDE and features.UNLIKE_TRAINING in answered:
        differing = np.ravel(expected[features.UNLIKE_TRAINING])[np.ravel(answered[name] != expected[name])]
        return bool(np.all(np.abs(differing - features.UNLIKE_BORDER) <= SCORE_FACTOR * tolerance))
    return name == features.CONFORMAL_SET and features.PROBABILITIES in answered and _one_bound(expected, answered)


def _one_bound(expected: Tensors, answered: Tensors) -> bool:
    """Whether one bound of the probabilities, the same for all images, explains both sets; the likeliest class is in them anyway."""
    highest_out, lowest_in = -np.inf, np.inf
    for tensors in (expected, answered):
        probabilities, inside = tensors[features.PROBABILITIES], tensors[features.CONFORMAL_SET]
        if not np.all(inside[np.arange(len(inside)), probabilities.argmax(axis=1)]):
            return False
        likeliest = np.eye(probabilities.shape[1], dtype=bool)[probabilities.argmax(axis=1)]
        highest_out = max(highest_out, probabilities[~inside].max(initial=-np.inf))
        lowest_in = min(lowest_in, probabilities[inside & ~likeliest].min(initial=np.inf))
    return bool(highest_out < lowest_in)


def _tied(expected: Tensors, labels: npt.NDArray[np.object_], tolerance: float) -> bool:
    """Whether each label stands for a class that the expected probabilities hold as likely as the first, but for rounding."""
    if not {features.PROBABILITIES, features.OUTPUT_CLASS_NAMES} <= set(expected):
        return False
    chosen = expected[features.OUTPUT_CLASS_NAMES] == labels[:, np.newaxis]
    probabilities = expected[features.PROBABILITIES]
    behind = probabilities.max(axis=1) - np.where(chosen, probabilities, -1).max(axis=1)
    return bool(np.all(behind <= 2 * tolerance))
