"""The gRPC services: they count, refuse above the limit of concurrent requests, and turn ServingError into a status."""

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from cxr.core.counts import how_many
from cxr.serving.server import configuring, inference
from cxr.serving.server.batching import Call, Runner
from cxr.serving.server.errors import ServingError, from_exception, invalid, not_found
from cxr.serving.server.manager import Manager
from cxr.serving.server.metrics import GRPC, Metrics
from cxr.serving.server.options import Limits
from cxr.serving.server.predict import predict, resolved

Answer = TypeVar("Answer")
SIGNATURE_DEF = "signature_def"
_INFERENCE: dict[str, Callable[..., Any]] = {
    "Predict": predict,
    "Classify": inference.classify,
    "Regress": inference.regress,
    "MultiInference": inference.multi_inference,
}


class Handlers:
    """What every transport calls: requests in, responses out, ServingError otherwise."""

    def __init__(self, manager: Manager, runner: Runner, limits: Limits, metrics: Metrics, keep: Callable[[Any, Any], None] | None = None):
        """Takes the server's parts; `keep` is offered every answered Predict request with its answer, and must neither wait nor raise."""
        self.manager, self._runner, self._limits, self._metrics, self._keep = manager, runner, limits, metrics, keep
        self._under_way = 0
        self._ended = threading.Condition()

    def idle(self, seconds: float) -> int:
        """Waits until no inference is under way, `seconds` at most; returns how many still are."""
        with self._ended:
            self._ended.wait_for(lambda: self._under_way == 0, seconds)
            return self._under_way

    def _begin(self) -> None:
        limit = self._limits.max_concurrent_requests
        with self._ended:
            if self._under_way >= limit:
                raise ServingError(grpc.StatusCode.UNAVAILABLE, f"More than {how_many(limit, 'request')} at once; try again later")
            self._under_way += 1

    def _end(self) -> None:
        with self._ended:
            self._under_way -= 1
            self._ended.notify_all()

    def infer(self, method: str, request: Any, call: Call, entrypoint: str = GRPC) -> Any:
        """Answers Predict, Classify, Regress or MultiInference.

        Args:
          method: the name of the call.
          request: its request message.
          call: deadline and departure of the client.
          entrypoint: transport it came by; REST counts its requests itself, the malformed ones too.

        Raises:
          ServingError: any refusal; UNAVAILABLE above `max_concurrent_requests`: the client may try again, RESOURCE_EXHAUSTED
            would tell it that its request is too large.
        """
        spec = request.model_spec if method != "MultiInference" else request.tasks[0].model_spec if request.tasks else None
        begin, code = time.perf_counter(), grpc.StatusCode.OK
        try:
            self._begin()
            try:
                answer = _INFERENCE[method](request, self.manager, self._runner, self._limits, call)
            finally:
                self._end()
            if self._keep is not None and method == "Predict":
                self._keep(request, answer)
            return answer
        except BaseException as error:
            refusal = from_exception(error)
            code = refusal.code
            raise refusal from error
        finally:
            if entrypoint == GRPC:
                self._metrics.count(GRPC, method, "" if spec is None else spec.name, code.name, time.perf_counter() - begin)

    def metadata(self, request: get_model_metadata_pb2.GetModelMetadataRequest) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Answers GetModelMetadata; only the field `signature_def` exists."""
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for name in request.metadata_field:
            if name != SIGNATURE_DEF:
                raise invalid(f"Metadata field {name} is not supported")
        with self.manager.acquire(request.model_spec) as version:
            assert version.loaded is not None
            signatures = get_model_metadata_pb2.SignatureDefMap()
            for name, signature in version.loaded.signatures.items():
                signatures.signature_def[name].CopyFrom(signature)
            response = get_model_metadata_pb2.GetModelMetadataResponse(model_spec=resolved(request.model_spec.name, version))
            response.metadata[SIGNATURE_DEF].Pack(signatures)
            return response

    def status(self, request: get_model_status_pb2.GetModelStatusRequest) -> get_model_status_pb2.GetModelStatusResponse:
        """Answers GetModelStatus, newest version first; a label is ignored, as TensorFlow Serving does."""
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        spec = request.model_spec
        versions = self.manager.states(spec.name)
        if spec.WhichOneof("version_choice") == "version":
            if spec.version.value not in versions:
                raise not_found(f"Could not find version {spec.version.value} of model {spec.name}")
            versions = {spec.version.value: versions[spec.version.value]}
        if not versions:
            raise not_found(f"Could not find any versions of model {spec.name}")
        return get_model_status_pb2.GetModelStatusResponse(model_version_status=[v.status() for v in versions.values()])

    def reload(
        self, request: model_management_pb2.ReloadConfigRequest, seconds: float | None = None
    ) -> model_management_pb2.ReloadConfigResponse:
        """Answers HandleReloadConfigRequest once the new models serve and the labels are moved; waits `seconds` at most."""
        configuring.reload(self.manager, request.config, seconds)
        return model_management_pb2.ReloadConfigResponse()


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """tensorflow.serving.PredictionService."""

    def __init__(self, handlers: Handlers):
        self._handlers = handlers

    def _infer(self, method: str, request: Any, context: grpc.ServicerContext) -> Any:
        call = Call(_seconds_left(context), context.add_callback)
        return _answer(lambda: self._handlers.infer(method, request, call), context)

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: D102, N802
        return self._infer("Predict", request, context)

    def Classify(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: D102, N802
        return self._infer("Classify", request, context)

    def Regress(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: D102, N802
        return self._infer("Regress", request, context)

    def MultiInference(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: D102, N802
        return self._infer("MultiInference", request, context)

    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: D102, N802
        return _answer(lambda: self._handlers.metadata(request), context)


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """tensorflow.serving.ModelService."""

    def __init__(self, handlers: Handlers):
        self._handlers = handlers

    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: D102, N802
        return _answer(lambda: self._handlers.status(request), context)

    def HandleReloadConfigRequest(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: D102, N802
        return _answer(lambda: self._handlers.reload(request, _seconds_left(context)), context)


def _seconds_left(context: grpc.ServicerContext) -> float | None:
    """Returns the seconds to the client's deadline; None without one, which gRPC reports as some 292 billion years."""
    seconds = context.time_remaining()
    return seconds if seconds is not None and seconds < threading.TIMEOUT_MAX else None


def _answer(function: Callable[[], Answer], context: grpc.ServicerContext) -> Answer:
    try:
        return function()
    except Exception as error:
        refusal = from_exception(error)
    context.abort(refusal.code, refusal.message)
    raise AssertionError("abort raises")
