"""JSON of the REST interface to request messages and back: TensorFlow Serving's row ("instances") and column ("inputs") forms."""

import base64
import json
from collections.abc import Mapping
from http import HTTPStatus
from itertools import chain
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from google.protobuf.message import Message
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import classification_pb2, get_model_metadata_pb2, get_model_status_pb2, model_pb2, predict_pb2, regression_pb2

from cxr.serving.server import tensors
from cxr.serving.server.errors import invalid
from cxr.serving.server.predict import DEFAULT_SIGNATURE
from cxr.serving.server.rest_body import BodyRefusedError
from cxr.serving.server.rest_examples import base64_bytes, example_of, unicode_text
from cxr.serving.server.services import Handlers

_SHOWN = 200  # characters of a value in an error
_AT_A_TIME = 2**16  # numbers that become text together: 128 bytes each
_BYTES_PER_VALUE, _COPIES, _WIDEST_CHARACTER = 100, 4, 4  # for `cost`
_KINDS: dict[str, set[type]] = {"f": {int, float}, "i": {int}, "u": {int}, "b": {bool}}  # what JSON may hold by a tensor's numpy kind
BYTES_SUFFIX = "_bytes"  # outputs named so are always base64 objects


def status(answer: get_model_status_pb2.GetModelStatusResponse) -> dict[str, Any]:
    """Returns the JSON of a status: version and state as strings, error code by its name."""
    names, codes = get_model_status_pb2.ModelVersionStatus.State, {code.value[0]: code.name for code in grpc.StatusCode}
    return {
        "model_version_status": [
            {
                "version": str(v.version),
                "state": names.Name(v.state),
                "status": {"error_code": codes.get(v.status.error_code, "UNKNOWN"), "error_message": v.status.error_message},
            }
            for v in answer.model_version_status
        ]
    }


def metadata(answer: get_model_metadata_pb2.GetModelMetadataResponse) -> dict[str, Any]:
    """Returns the JSON of a GetModelMetadata answer."""
    document = json_format.MessageToDict(answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    for packed in document["metadata"].values():
        packed.pop("@type")  # TensorFlow Serving does not show it
    return document


def request_of(method: str, spec: model_pb2.ModelSpec, body: bytearray, handlers: Handlers, max_cost: int) -> tuple[Message, bool]:
    """Returns the request message of a POST to …:predict, …:classify or …:regress, and whether it came in rows ("instances").

    Args:
      method: "predict", "classify" or "regress".
      spec: model from the path; gets the signature's name.
      body: JSON; emptied, so that its memory is free before the message is built.
      handlers: know the signatures.
      max_cost: bytes that reading it may take, by `cost`.

    Raises:
      BodyRefusedError: 413, it is too costly.
      ServingError: the body is not what TensorFlow Serving accepts.
    """
    document = _object(body, max_cost)
    signature = document.get("signature_name", "")
    if not isinstance(signature, str):
        raise invalid(f"JSON Value: {_shown(signature)} not formatted correctly. 'signature_name' key must be a string value.")
    spec.signature_name = unicode_text(signature)
    if method == "predict":
        return _predict_request(spec, document, handlers)
    if "examples" not in document or not isinstance(document["examples"], list) or not document["examples"]:
        raise invalid(f"JSON Value: {_shown(document)} When method is {method}, key 'examples' is expected and must be a non-empty list")
    requests = {"classify": classification_pb2.ClassificationRequest, "regress": regression_pb2.RegressionRequest}
    request = requests[method](model_spec=spec)
    if "context" in document:
        with_context = request.input.example_list_with_context
        with_context.context.CopyFrom(example_of(document["context"]))
        with_context.examples.extend(example_of(entry) for entry in document["examples"])
    else:
        request.input.example_list.examples.extend(example_of(entry) for entry in document["examples"])
    return request, False


def answer_of(method: str, answer: Message, rows: bool) -> bytes:
    """Returns the JSON of an answer, in the form of the request (`rows`); raises ServingError where there is none."""
    if method == "predict":
        document = _predictions(answer, rows)
    elif method == "regress":
        document = {"results": [_number(entry.value) for entry in answer.result.regressions]}
    else:
        document = {"results": [[[c.label, _number(c.score)] for c in entry.classes] for entry in answer.result.classifications]}
    return json.dumps(document).encode()


def cost(body: bytearray) -> int:
    """Returns an upper bound of the bytes that it takes to read a JSON body, without reading it.

    A value between two commas becomes a Python object of up to 100 bytes (an empty list: 56, its place 8, both again when it is
    flattened); `[0],` of four bytes becomes 100. A long string (base64) is copied three times: decoded, as a value, as bytes.
    """
    values = sum(map(body.count, (b",", b"[", b"{", b":")))
    return _BYTES_PER_VALUE * values + len(body) * _COPIES * (1 if body.isascii() else _WIDEST_CHARACTER)


def _predict_request(spec: model_pb2.ModelSpec, document: dict[str, Any], handlers: Handlers) -> tuple[Message, bool]:
    rows = "instances" in document
    if rows == ("inputs" in document):
        raise invalid("Request must contain exactly one of the keys 'instances' and 'inputs'")
    with handlers.manager.acquire(spec) as version:
        assert version.loaded is not None
        name = spec.signature_name or DEFAULT_SIGNATURE
        if name not in version.loaded.signatures:
            raise invalid(f'Serving signature name: "{name}" not found in signature def')
        wanted = dict(version.loaded.signatures[name].inputs)
    columns = _columns_of_rows(document["instances"], wanted) if rows else _columns(document["inputs"], wanted)
    request = predict_pb2.PredictRequest(model_spec=spec)
    for alias, value in columns.items():
        request.inputs[alias].CopyFrom(tf.make_tensor_proto(_array(alias, value, wanted[alias].dtype)))
    return request, rows


def _predictions(answer: predict_pb2.PredictResponse, rows: bool) -> dict[str, Any]:
    outputs = {alias: _json(alias, tf.make_ndarray(proto)) for alias, proto in answer.outputs.items()}
    if not rows:
        return {"outputs": outputs if len(outputs) > 1 else next(iter(outputs.values()))}
    sizes = {len(value) if isinstance(value, list) else -1 for value in outputs.values()}
    if len(sizes) != 1 or -1 in sizes:
        raise invalid("Tensors of the answer have different 0th dimensions; use the column form ('inputs')")
    if len(outputs) == 1:
        return {"predictions": next(iter(outputs.values()))}
    return {"predictions": [dict(zip(outputs, values, strict=True)) for values in zip(*outputs.values(), strict=True)]}


def _object(body: bytearray, max_cost: int) -> dict[str, Any]:
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    if (needed := cost(body)) > max_cost:
        text = f"Reading this JSON could take {needed} bytes of memory, more than {max_cost}; send fewer numbers at once, "
        text += 'images as encoded files ({"b64": …}), or use gRPC'
        raise BodyRefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, grpc.StatusCode.RESOURCE_EXHAUSTED, text)
    try:
        text = body.decode()
        body.clear()
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise invalid(f"JSON Parse error: {error}") from error
    if not isinstance(document, dict):
        raise invalid("JSON Value: the document must be an object")
    return document


def _columns_of_rows(instances: Any, wanted: Mapping[str, meta_graph_pb2.TensorInfo]) -> dict[str, list]:
    if not isinstance(instances, list) or not instances:
        raise invalid("JSON Value: 'instances' must be a non-empty list")
    if not (isinstance(instances[0], dict) and set(instances[0]) != {"b64"}):
        if len(wanted) != 1:
            raise invalid(f"Request has no names but the signature has {len(wanted)} inputs: {', '.join(sorted(wanted))}")
        return {next(iter(wanted)): instances}
    columns: dict[str, list] = {alias: [] for alias in instances[0]}
    _known(columns, wanted)
    for instance in instances:
        if not isinstance(instance, dict) or set(instance) != set(columns):
            raise invalid(f"JSON Value: {_shown(instance)} does not have the names of the first instance: {', '.join(sorted(columns))}")
        for alias, value in instance.items():
            columns[alias].append(value)
    return columns


def _columns(inputs: Any, wanted: Mapping[str, meta_graph_pb2.TensorInfo]) -> dict[str, Any]:
    if isinstance(inputs, dict) and set(inputs) != {"b64"}:
        return _known(inputs, wanted)
    if len(wanted) != 1:
        raise invalid(f"Request has no names but the signature has {len(wanted)} inputs: {', '.join(sorted(wanted))}")
    return {next(iter(wanted)): inputs}


def _known(columns: dict[str, Any], wanted: Mapping[str, meta_graph_pb2.TensorInfo]) -> dict[str, Any]:
    for alias in columns:
        if alias not in wanted:
            raise invalid(f"JSON object: does not have named input: {alias}; the signature has {', '.join(sorted(wanted))}")
    return columns


def _array(alias: str, value: Any, dtype: int) -> np.ndarray:
    shape, leaves = _flat(alias, value)
    kinds = set(map(type, leaves))
    numpy_type = np.dtype(tf.dtypes.as_dtype(dtype).as_numpy_dtype)
    if dtype != types_pb2.DT_STRING and not kinds <= _KINDS.get(numpy_type.kind, set()):
        raise invalid(f"JSON Value: {_shown(value)} is not of expected type: {tensors.dtype_name(dtype)}")
    try:
        if dtype != types_pb2.DT_STRING:
            with np.errstate(over="ignore"):  # a decimal beyond the range becomes infinite, as in TensorFlow Serving
                return np.array(leaves, numpy_type).reshape(shape)
        strings = np.empty(len(leaves), dtype=object)
        strings[:] = [_bytes(leaf) for leaf in leaves]
        return strings.reshape(shape)
    except OverflowError as error:
        raise invalid(f"JSON Value: {_shown(value)} does not fit into {tensors.dtype_name(dtype)}") from error
    except ValueError as error:  # numpy's limit of dimensions
        raise invalid(f"Input {alias}: {error}") from error


def _flat(alias: str, value: Any) -> tuple[list[int], list]:
    """Returns shape and values of nested lists. numpy is not asked: it would take a string for the width of a million others."""
    shape: list[int] = []
    leaves = [value]
    while leaves and set(map(type, leaves)) == {list}:
        lengths = set(map(len, leaves))
        if len(lengths) > 1:
            raise invalid(f"Input {alias}: lists of different lengths")
        shape.append(lengths.pop())
        leaves = list(chain.from_iterable(leaves))
    if list in set(map(type, leaves)):
        raise invalid(f"Input {alias}: lists of different depths")
    return shape, leaves


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return unicode_text(value).encode()
    if not (isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str)):
        raise invalid(f"JSON Value: {_shown(value)} not formatted correctly for base64 data")
    return base64_bytes(value["b64"])


def _json(alias: str, array: np.ndarray) -> Any:
    if array.dtype.kind not in "OSU":
        return (_shortest(array) if array.dtype.kind == "f" else array).tolist()

    def one(value: bytes) -> Any:
        if not alias.endswith(BYTES_SUFFIX):
            try:
                return value.decode()
            except UnicodeDecodeError as error:
                raise invalid(f"Output {alias} is not text; name it …{BYTES_SUFFIX} to get base64") from error
        return {"b64": base64.b64encode(value).decode()}

    return np.vectorize(one, otypes=[object])(array).tolist() if array.size else []


def _number(value: float) -> float:
    return float(_shortest(np.array(value, np.float32)))


def _shortest(array: np.ndarray) -> np.ndarray:
    """Returns float64 numbers that print as the given ones do: 0.2 for a float32 0.2, not 0.20000000298."""
    flat = array.ravel()
    parts = [flat[at : at + _AT_A_TIME].astype("U32").astype(np.float64) for at in range(0, flat.size, _AT_A_TIME)]
    return np.concatenate([np.empty(0), *parts]).reshape(array.shape)


def _shown(value: Any) -> str:
    text = ""
    try:
        for piece in json.JSONEncoder().iterencode(value):  # a request of megabytes is not written out for its first characters
            text += piece
            if len(text) > _SHOWN:
                return text[:_SHOWN] + "…"
    except RecursionError:
        return "[[[…"
    return text
