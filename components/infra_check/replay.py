"""Replays the requests recorded with a model against a server and compares every answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import prediction_log_pb2, prediction_service_pb2_grpc

from cxr.components.infra_check import tensorflow_serving
from cxr.core.errors import CxrError
from cxr.serving.client.connection import channel_options
from cxr.serving.server.process import NotStarted, start_server
from cxr.trainer.export.recorded_requests import differences, read_recorded

_LIKELY = (
    "Either the SavedModel is not the trained model, or rounding errors grow in the network: with random weights set "
    "models.{model}.bn_recalibration=none, with trained ones a smaller models.{model}.fine_tuning.optimizer.learning_rate"
)
_BUSY = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)


class MachineBusy(CxrError):
    """A request was not answered for want of time or of a server: no verdict on the model, and nothing to keep in a cache."""


@dataclass(frozen=True)
class ReplayVerdict:
    """What a check found; blessed where `problems` is empty."""

    answered: int  # requests answered rightly
    problems: tuple[str, ...]

    @property
    def blessed(self) -> bool:
        """Whether the model may be pushed."""
        return not self.problems


def check_model(saved_model: str, model_name: str, *, load_seconds: float, tolerance: float, answer_seconds: float = 120) -> ReplayVerdict:
    """Serves a SavedModel from a fresh process and replays its recorded requests.

    The server is TensorFlow Serving where its binary is on PATH, else ours, which loads a model as TensorFlow Serving does.

    What the machine is to blame for (time-outs, an overloaded server) is no verdict on the model and raises.

    Args:
      saved_model: Folder with `saved_model.pb` and `assets.extra/recorded_requests.tfrecord`.
      model_name: Name it is served under.
      load_seconds: How long the server may take until it listens.
      tolerance: Largest difference allowed between a recorded and a served number.
      answer_seconds: Deadline of each request.

    Raises:
      MachineBusy: The server was not ready in time, or was gone, or an answer did not come in time.
    """
    recorded = list(read_recorded(saved_model))
    if not recorded:
        return ReplayVerdict(0, (f"{saved_model}: no recorded requests; the model cannot be checked, export it again",))
    try:
        with _served(model_name, saved_model, load_seconds) as address, grpc.insecure_channel(address, channel_options(address)) as channel:
            return replay(channel, recorded, model_name, tolerance=tolerance, answer_seconds=answer_seconds)
    except MachineBusy:
        raise
    except NotStarted as error:
        raise MachineBusy(f"the machine is too busy for the check, or infra_check.load_seconds too small: {error}") from error
    except CxrError as error:
        return ReplayVerdict(0, (f"the server could not load the model: {' '.join(str(error).split())}",))


@contextmanager
def _served(model_name: str, saved_model: str, load_seconds: float) -> Iterator[str]:
    if tensorflow_serving.available():
        with tensorflow_serving.start_tensorflow_serving({model_name: saved_model}, load_seconds) as address:
            yield address
    else:
        with start_server({model_name: saved_model}, timeout=load_seconds) as server:
            yield server.address


def replay(
    channel: grpc.Channel,
    recorded: Iterable[prediction_log_pb2.PredictionLog],
    model_name: str,
    *,
    tolerance: float,
    answer_seconds: float,
) -> ReplayVerdict:
    """Sends recorded requests over a channel and compares outputs: names and strings must be equal, numbers within the tolerance.

    Raises:
      MachineBusy: A request was not answered because of time-outs or load, or the server has gone.
    """
    # Not `cxr predict`'s client: what was recorded are TensorFlow Serving's own messages, and they are sent and compared as they are.
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    try:
        grpc.channel_ready_future(channel).result(answer_seconds)  # a busy machine may take long to connect
    except grpc.FutureTimeoutError:
        raise MachineBusy(
            f"UNAVAILABLE: no connection to the server within {answer_seconds:g} s; run the check again when the machine is less busy"
        ) from None
    answered, differing, problems = 0, False, []
    for number, log in enumerate(recorded, 1):
        request = log.predict_log.request
        request.model_spec.name = model_name
        what = f"request {number} ({request.model_spec.signature_name})"
        try:
            response = stub.Predict(request, timeout=answer_seconds)
        except grpc.RpcError as error:
            if error.code() in _BUSY:
                raise MachineBusy(
                    f"{what}: {error.code().name} {error.details()}; run the check again when the machine is less busy"
                ) from error
            problems.append(f"{what}: {error.code().name} {error.details()}")
            continue
        found = list(differences(_arrays(log.predict_log.response.outputs), _arrays(response.outputs), tolerance))
        if found and not differing:
            found[0] += f". {_LIKELY.format(model=model_name)}"
        problems += [f"{what}: {difference}" for difference in found]
        differing |= bool(found)
        answered += not found
    return ReplayVerdict(answered, tuple(problems))


def _arrays(outputs: Mapping[str, tensor_pb2.TensorProto]) -> dict[str, np.ndarray]:
    return {name: tf.make_ndarray(tensor) for name, tensor in outputs.items()}
