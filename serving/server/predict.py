"""Predict: from a request to tensors, through the batcher, to a response; with TensorFlow Serving's checks and texts."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import model_pb2, predict_pb2

from cxr.serving.server import tensors
from cxr.serving.server.batching import Call, Runner
from cxr.serving.server.errors import invalid, precondition
from cxr.serving.server.images import check_images
from cxr.serving.server.options import Limits
from cxr.serving.server.states import Version

DEFAULT_SIGNATURE = "serving_default"
IMAGE_RANK = 4  # [batch, height, width, channels]


class Source(Protocol):
    """Where a request's model comes from: the manager, or one version that is being warmed up."""

    def acquire(self, spec: model_pb2.ModelSpec) -> AbstractContextManager[Version]:
        """Holds the version that the ModelSpec means; raises ServingError when there is none."""
        ...


@dataclass(frozen=True)
class Inputs:
    """Checked inputs: tensor names and arrays in the order of the signature's sorted input names."""

    feeds: tuple[str, ...]
    arrays: tuple[np.ndarray, ...]


def predict(request: predict_pb2.PredictRequest, source: Source, runner: Runner, limits: Limits, call: Call) -> predict_pb2.PredictResponse:
    """Answers a Predict request.

    Args:
      request: as received.
      source: where the model comes from.
      runner: runs the tensors, alone or in a batch.
      limits: pixels and bytes allowed.
      call: deadline and departure of the client.

    Raises:
      ServingError: docs/serving.md has the table of codes; operation errors keep theirs.
    """
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    with source.acquire(request.model_spec) as version:
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        signature = _signature(version, name)
        inputs = _inputs(signature, request, limits, runner)
        aliases = _outputs(signature, request.output_filter)
        arrays = runner.run(version, name, inputs.feeds, inputs.arrays, [signature.outputs[alias].name for alias in aliases], call)
        response = predict_pb2.PredictResponse(model_spec=resolved(request.model_spec.name, version, name))
        for alias, array in zip(aliases, arrays, strict=True):
            response.outputs[alias].CopyFrom(tensors.to_proto(array))
        return response


def resolved(model: str, version: Version, signature: str = "") -> model_pb2.ModelSpec:
    """Returns the ModelSpec of an answer: name, version that answered, signature."""
    spec = model_pb2.ModelSpec(name=model, signature_name=signature)
    spec.version.value = version.number
    return spec


def _signature(version: Version, name: str) -> meta_graph_pb2.SignatureDef:
    assert version.loaded is not None  # acquire only hands out available versions
    signature = version.loaded.signatures.get(name)
    if signature is None:
        raise precondition(f'Serving signature key "{name}" not found.')
    return signature


def _inputs(signature: meta_graph_pb2.SignatureDef, request: predict_pb2.PredictRequest, limits: Limits, runner: Runner) -> Inputs:
    given, wanted, defaults = set(request.inputs), set(signature.inputs), set(signature.defaults)
    if len(given) > len(wanted) or (len(given) < len(wanted) and not defaults):
        raise invalid(
            f"input size does not match signature: {len(given)}!={len(wanted)} len({_braces(given)}) != len({_braces(wanted)}). "
            f"Sent extra: {_braces(given - wanted)}. Missing but required: {_braces(wanted - given)}."
        )
    feeds, arrays = [], []
    for alias in sorted(wanted):
        feed = signature.inputs[alias].name
        proto = request.inputs[alias] if alias in given else signature.defaults[alias] if alias in defaults else None
        if proto is None:
            raise invalid(
                f"Signature input alias: {alias}(feed name: {feed}) not found in request and no default value provided. "
                f"Inputs expected to be in the request {_braces(given)}, or default input alias set: {','.join(sorted(defaults))}"
            )
        try:
            shape = tensors.checked_shape(proto, limits.max_message_bytes)
            runner.check_size(shape[0] if shape else 1)
            arrays.append(tensors.to_array(proto))
        except (ValueError, TypeError) as error:
            raise invalid(f"tensor parsing error: {alias}") from error
        feeds.append(feed)
    for index, alias in enumerate(sorted(wanted)):
        proto = request.inputs[alias] if alias in given else signature.defaults[alias]
        check_tensor(index, proto.dtype, arrays[index], signature.inputs[alias])
        if proto.dtype == types_pb2.DT_STRING:
            check_images(arrays[index], limits.max_image_pixels, limits.max_request_pixels)
    return Inputs(tuple(feeds), tuple(arrays))


def check_tensor(index: int, dtype: int, array: np.ndarray, info: meta_graph_pb2.TensorInfo) -> None:
    """Refuses what the graph would refuse, and what would abort the whole process.

    A batch of images of the wrong rank makes oneDNN's convolution abort where the exported function does not check shapes. So
    inputs declared with IMAGE_RANK are compared here, with the text that `tf.ensure_shape` gives in the graph.

    Raises:
      ServingError: INVALID_ARGUMENT.
    """
    if dtype != info.dtype:
        raise invalid(f"Expects arg[{index}] to be {tensors.dtype_name(info.dtype)} but {tensors.dtype_name(dtype)} is provided")
    declared = [dim.size for dim in info.tensor_shape.dim]
    if info.tensor_shape.unknown_rank or len(declared) != IMAGE_RANK:
        return
    if array.ndim != len(declared) or any(want not in (-1, got) for want, got in zip(declared, array.shape, strict=True)):
        got = ",".join(map(str, array.shape))
        want = ",".join("?" if size < 0 else str(size) for size in declared)
        node = info.name.split(":")[0]
        raise invalid(f"Shape of tensor _arg_{node}_0_{index} [{got}] is not compatible with expected shape [{want}].")


def _outputs(signature: meta_graph_pb2.SignatureDef, output_filter: Sequence[str]) -> list[str]:
    seen: set[str] = set()
    for alias in output_filter:
        if alias not in signature.outputs:
            expected = _braces(set(signature.outputs))
            raise invalid(f"output tensor alias not found in signature: {alias} Outputs expected to be in the set {expected}.")
        if alias in seen:
            raise invalid(f"duplicate output tensor alias: {alias}")
        seen.add(alias)
    return sorted(seen or signature.outputs)


def _braces(names: set[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"
