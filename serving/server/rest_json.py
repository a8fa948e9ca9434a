"""JSON of the REST interface to request messages and back."""

from typing import Any

from tensorflow_serving.apis import get_model_status_pb2, model_pb2

from cxr.serving.server.batching import Call
from cxr.serving.server.errors import invalid
from cxr.serving.server.services import Handlers


def status(answer: get_model_status_pb2.GetModelStatusResponse) -> dict[str, Any]:
    """Returns the JSON of a status."""
    names = get_model_status_pb2.ModelVersionStatus.State
    return {"model_version_status": [{"version": str(v.version), "state": names.Name(v.state), "status": {}} for v in answer.model_version_status]}


def infer(method: str, spec: model_pb2.ModelSpec, body: bytes, handlers: Handlers, call: Call) -> dict[str, Any]:
    """Answers."""
    raise invalid("not yet")
