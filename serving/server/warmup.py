"""Replays the recorded requests that a SavedModel carries, before it serves."""

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import tensorflow as tf
from tensorflow_serving.apis import model_pb2, prediction_log_pb2

from cxr.core.places import WARM_UP
from cxr.serving.server import inference
from cxr.serving.server.batching import Call, Runner
from cxr.serving.server.errors import ServingError, from_exception, invalid, precondition
from cxr.serving.server.options import Batching, Limits
from cxr.serving.server.predict import predict
from cxr.serving.server.states import Version

MAX_RECORDS = 1000  # TensorFlow Serving's limit
DIRECT = Runner(Batching(enabled=False))  # alone, in the loading thread


def warm_up(version: Version, limits: Limits) -> int:
    """Runs the warm-up requests of a version that has just been loaded.

    Returns:
      Number of requests run; 0 without the file.

    Raises:
      ServingError: a record is broken, of another kind, or fails; the load then counts as failed, as in TensorFlow Serving.
    """
    path = version.path / WARM_UP
    if not path.is_file():
        return 0
    count = 0
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            if count >= MAX_RECORDS:
                raise invalid(f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {path}")
            _replay(version, prediction_log_pb2.PredictionLog.FromString(record), limits)
            count += 1
    except ServingError as error:
        raise ServingError(error.code, f"warm-up record {count} of {path}: {error.message}") from error
    except Exception as error:
        raise precondition(f"Failed to read warmup data from {path}, record {count}: {from_exception(error).message}") from error
    return count


def _replay(version: Version, log: prediction_log_pb2.PredictionLog, limits: Limits) -> None:
    only = _Only(version)
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        predict(log.predict_log.request, only, DIRECT, limits, Call())
    elif kind == "classify_log":
        inference.classify(log.classify_log.request, only, DIRECT, limits, Call())
    elif kind == "regress_log":
        inference.regress(log.regress_log.request, only, DIRECT, limits, Call())
    elif kind == "multi_inference_log":
        inference.multi_inference(log.multi_inference_log.request, only, DIRECT, limits, Call())
    else:
        raise ServingError(grpc.StatusCode.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind}")


class _Only:
    """Answers every ModelSpec with the version that is being warmed up, whatever name the record was made under."""

    def __init__(self, version: Version):
        self._version = version

    @contextmanager
    def acquire(self, spec: model_pb2.ModelSpec) -> Iterator[Version]:
        yield self._version
