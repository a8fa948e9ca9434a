"""JSON objects of …:classify and …:regress to tf.Examples."""

import base64
import string
from typing import Any

from tensorflow.core.example import example_pb2, feature_pb2

from cxr.serving.server.errors import invalid

_WHITE_SPACE, _PADDING = string.whitespace.encode(), b"=."
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
        example.features.feature[unicode_text(name)].CopyFrom(_feature(name, value if isinstance(value, list) else [value]))
    return example


def unicode_text(value: str) -> str:
    """Returns a string of a JSON document, which may hold what UTF-8 does not have: half a surrogate pair, as an escape.

    Raises:
      ServingError: INVALID_ARGUMENT, it does.
    """
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise invalid("JSON Parse error: half of a surrogate pair is not a character") from error
    return value


def base64_bytes(value: str) -> bytes:
    """Returns the bytes of a base64 text: white space anywhere in it, padding of `=` or `.` or none, as TensorFlow Serving takes it.

    Raises:
      ServingError: INVALID_ARGUMENT, it is not that, or of the alphabet for addresses (`-` and `_`).
    """
    try:
        packed = value.encode("ascii").translate(None, _WHITE_SPACE)
        digits = packed.rstrip(_PADDING)
        whole = -len(digits) % 4  # padding that completes the last group of four
        if len(packed) - len(digits) not in (0, whole):
            raise ValueError("the padding does not fit")
        return base64.b64decode(digits + b"=" * whole, validate=True)
    except ValueError as error:
        raise invalid("Unable to base64 decode") from error


def _feature(name: str, values: list) -> feature_pb2.Feature:
    feature = feature_pb2.Feature()
    numbers = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    if values and len(numbers) == len(values):
        if all(isinstance(value, int) and _INT64_MIN <= value <= _INT64_MAX for value in values):
            feature.int64_list.value.extend(values)
        else:
            try:
                feature.float_list.value.extend(float(value) for value in values)
            except OverflowError as error:
                raise invalid(f"JSON object: feature {name} has a number that does not fit into float") from error
    else:
        feature.bytes_list.value.extend(_bytes(name, value) for value in values)
    return feature


def _bytes(name: str, value: Any) -> bytes:
    if isinstance(value, str):
        return unicode_text(value).encode()
    if isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str):
        return base64_bytes(value["b64"])
    raise invalid(f"JSON object: feature {name} has values that are neither all numbers nor all strings or base64 objects")
