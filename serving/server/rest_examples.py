"""JSON objects of …:classify and …:regress to tf.Examples."""

import base64
import binascii
from typing import Any

from tensorflow.core.example import example_pb2, feature_pb2

from cxr.serving.server.errors import invalid

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


def example_of(document: Any) -> example_pb2.Example:
    """Returns the tf.Example of a JSON object: a feature per key, a number, string, {"b64": …} or a list of one kind each.

    Raises:
        ServingError: INVALID_ARGUMENT, anything else.
    """
    if not isinstance(document, dict):
        raise invalid("JSON Value: an example must be an object")
    example = example_pb2.Example()
    for name, value in document.items():
        example.features.feature[name].CopyFrom(_feature(name, value if isinstance(value, list) else [value]))
    return example


def _feature(name: str, values: list) -> feature_pb2.Feature:
    feature = feature_pb2.Feature()
    numbers = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    if values and len(numbers) == len(values):
        if all(isinstance(value, int) and _INT64_MIN <= value <= _INT64_MAX for value in values):
            feature.int64_list.value.extend(values)
        else:
            feature.float_list.value.extend(float(value) for value in values)
    else:
        feature.bytes_list.value.extend(_bytes(name, value) for value in values)
    return feature


def _bytes(name: str, value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise invalid("Unable to base64 decode") from error
    raise invalid(f"JSON object: feature {name} has values that are neither all numbers nor all strings or base64 objects")
