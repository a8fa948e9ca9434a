"""TensorProtos from and to NumPy, without TensorFlow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr.core.counts import how_many
from cxr.serving.client.errors import BadAnswer
from cxr.serving.client.wire import messages
from cxr.serving.defaults import LARGEST_FILLED

# data type -> NumPy type and the field that holds its values; tensor_content may hold them instead (not for strings)
_NUMERIC: dict[int, tuple[type[np.generic], str]] = {
    messages.DT_FLOAT: (np.float32, "float_val"),
    messages.DT_DOUBLE: (np.float64, "double_val"),
    messages.DT_INT32: (np.int32, "int_val"),
    messages.DT_UINT8: (np.uint8, "int_val"),
    messages.DT_INT64: (np.int64, "int64_val"),
    messages.DT_BOOL: (np.bool_, "bool_val"),
}
_POINTER = 8  # bytes that a string takes in an array, besides its own
_MOST_DIMENSIONS = 64  # NumPy's own limit


def from_bytes(values: Sequence[bytes]) -> messages.TensorProto:
    """Returns a string tensor of shape [len(values)]."""
    return messages.TensorProto(dtype=messages.DT_STRING, tensor_shape=_shape((len(values),)), string_val=values)


def from_floats(array: npt.NDArray[np.float32]) -> messages.TensorProto:
    """Returns a float tensor of the array's shape. The bytes travel as they are: building `float_val` takes far longer."""
    contiguous = np.ascontiguousarray(array, dtype="<f4")
    return messages.TensorProto(dtype=messages.DT_FLOAT, tensor_shape=_shape(contiguous.shape), tensor_content=contiguous.tobytes())


def from_integers(values: Sequence[int]) -> messages.TensorProto:
    """Returns an int64 tensor of shape [len(values)]."""
    return messages.TensorProto(dtype=messages.DT_INT64, tensor_shape=_shape((len(values),)), int64_val=values)


def to_arrays(outputs: Mapping[str, messages.TensorProto]) -> dict[str, npt.NDArray[Any]]:
    """Reads the tensors of one answer.

    Args:
      outputs: by name; of float, double, integer, boolean or string types.

    Returns:
      By name, the values in the tensor's shape; strings as an object array of bytes.

    Raises:
      BadAnswer: another type, fewer or more values than a shape needs, or shapes that announce far more than was sent: that is told before
        memory is taken for it.
    """
    filled = 0
    for name, proto in outputs.items():
        filled += _filled_bytes(proto)
        if filled > LARGEST_FILLED:
            raise BadAnswer(
                f"a damaged answer: output {name!r} announces shape {list(_sizes(proto))} and holds few of its values; "
                f"this client fills in {LARGEST_FILLED} bytes of an answer at most"
            )
    return {name: _to_array(proto) for name, proto in outputs.items()}


def _filled_bytes(proto: messages.TensorProto) -> int:
    """Returns how many bytes `_to_array` adds to what was sent; 0 for what it refuses."""
    if proto.tensor_content or len(proto.tensor_shape.dim) > _MOST_DIMENSIONS:
        return 0
    kind, field = _NUMERIC.get(proto.dtype, (None, "string_val"))
    size = _POINTER if kind is None else np.dtype(kind).itemsize
    return max(0, math.prod(_sizes(proto)) - len(getattr(proto, field))) * size


def _to_array(proto: messages.TensorProto) -> npt.NDArray[Any]:
    shape = _sizes(proto)
    if len(shape) > _MOST_DIMENSIONS:
        raise BadAnswer(f"a damaged tensor: {len(shape)} dimensions")
    wanted = math.prod(shape)
    values: npt.NDArray[Any]
    if proto.dtype == messages.DT_STRING:
        values = np.array(list(proto.string_val), dtype=object)
    elif proto.dtype not in _NUMERIC:
        raise BadAnswer(f"a tensor of type {dtype_name(proto.dtype)}: this client reads numbers and strings; ask for other outputs")
    else:
        kind, field = _NUMERIC[proto.dtype]
        content = proto.tensor_content
        try:
            values = np.frombuffer(content, np.dtype(kind).newbyteorder("<")) if content else np.array(getattr(proto, field), kind)
        except ValueError as error:  # half a number
            raise BadAnswer(f"a damaged tensor: {error}") from None
    if 0 < len(values) < wanted and not proto.tensor_content:  # TensorFlow leaves out a repeated last value
        values = np.concatenate([values, np.repeat(values[-1:], wanted - len(values))])
    if len(values) != wanted or min(shape, default=0) < 0:
        raise BadAnswer(f"a damaged tensor: shape {list(shape)} needs {how_many(wanted, 'value')}, it has {len(values)}")
    try:
        return values.reshape(shape)
    except ValueError as error:  # no values, and sizes beside the 0 that no array has
        raise BadAnswer(f"a damaged tensor: shape {list(shape)}: {error}") from None


def dtype_name(dtype: int) -> str:
    """Returns "float", "string" … as TensorFlow writes it."""
    try:
        return messages.DataType.Name(dtype).removeprefix("DT_").lower()
    except ValueError:
        return f"#{dtype}"


def _sizes(proto: messages.TensorProto) -> tuple[int, ...]:
    return tuple(dim.size for dim in proto.tensor_shape.dim)


def _shape(shape: Sequence[int]) -> messages.TensorShapeProto:
    return messages.TensorShapeProto(dim=[messages.TensorShapeProto.Dim(size=size) for size in shape])
