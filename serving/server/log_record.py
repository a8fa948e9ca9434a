"""From a request and its answer to the PredictionLog that may be kept: the pictures' pixels, and nothing else that a client wrote.

Everything is built anew. A PNG's text chunks, a JPEG's EXIF or comment, a DICOM's header, the other features of a tf.Example, names of
dimensions and fields that the protocol does not know may all name a patient, and none is copied.
"""

from __future__ import annotations

import tensorflow as tf
from tensorflow.core.example import example_pb2
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from cxr.core import features
from cxr.data.images import reader
from cxr.data.images.errors import ImageError, NotAnImage

TAG = "serve"  # of the MetaGraph that answers


def prediction_log(request: predict_pb2.PredictRequest, response: predict_pb2.PredictResponse, sampling: float) -> bytes:
    """Returns a serialized PredictionLog with metadata as TensorFlow Serving writes them.

    Args:
      request: Answered; its inputs hold encoded pictures, or tf.Examples with one.
      response: The answer.
      sampling: Share of the requests that are logged.

    Raises:
      ImageError: An input is no picture, or one that `cxr ingest` would leave out.
    """
    log = prediction_log_pb2.PredictionLog()
    log.log_metadata.model_spec.CopyFrom(response.model_spec)
    log.log_metadata.sampling_config.sampling_rate = sampling
    log.log_metadata.saved_model_tags.append(TAG)
    kept = log.predict_log.request
    kept.model_spec.CopyFrom(response.model_spec)
    kept.output_filter.extend(request.output_filter)  # names of outputs, or there was no answer
    for name, tensor in request.inputs.items():
        kept.inputs[name].CopyFrom(_numbers(tensor) if name == features.CLASS_INDEX else _without_words(tensor))
    log.predict_log.response.CopyFrom(response)
    return log.SerializeToString()


def _numbers(tensor: tensor_pb2.TensorProto) -> tensor_pb2.TensorProto:
    """Returns which classes were to be explained: the graph has refused what is no class's number."""
    if tensor.dtype != types_pb2.DT_INT64:
        raise NotAnImage("no numbers of classes")
    return tf.make_tensor_proto(tf.make_ndarray(tensor))


def _without_words(tensor: tensor_pb2.TensorProto) -> tensor_pb2.TensorProto:
    if tensor.dtype != types_pb2.DT_STRING:
        raise NotAnImage("tensors of numbers are not logged")
    kept = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=[_pixels(value) for value in tensor.string_val])
    for dim in tensor.tensor_shape.dim:
        kept.tensor_shape.dim.add(size=dim.size)
    return kept


def _pixels(value: bytes) -> bytes:
    """Returns the picture encoded anew; of a tf.Example one with this feature alone."""
    if reader.is_image(value[: reader.HEAD_BYTES]):
        return _encoded(value)
    try:
        found = example_pb2.Example.FromString(value).features.feature[features.IMAGE].bytes_list.value
    except Exception:
        raise NotAnImage("neither a picture nor a tf.Example") from None
    if len(found) != 1:
        raise NotAnImage("a tf.Example without one picture")
    example = example_pb2.Example()
    example.features.feature[features.IMAGE].bytes_list.value.append(_encoded(found[0]))
    return example.SerializeToString()


def _encoded(picture: bytes) -> bytes:
    try:
        return reader.encode(reader.read_image(picture, max_side=None))
    except ImageError as error:
        raise type(error)(error.reason) from None  # a decoder's text may quote a header
