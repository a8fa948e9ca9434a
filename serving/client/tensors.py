"""TensorProtos from and to NumPy, without TensorFlow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr.serving.client.errors import BadAnswer
from cxr.serving.client.wire import messages

# data type -> NumPy type and the field that holds its values; tensor_content may hold them instead (not for strings)
_NUMERIC: dict[int, tuple[type[np.generic], str]] = {
    messages.DT_FLOAT: (np.float32, "float_val"),
    messages.DT_DOUBLE: (np.float64, "double_val"),
    messages.DT_INT32: (np.int32, "int_val"),
    messages.DT_UINT8: (np.uint8, "int_val"),
    messages.DT_INT64: (np.int64, "int64_val"),
    messages.DT_BOOL: (np.bool_, "bool_val"),
}


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


def to_array(proto: messages.TensorProto) -> npt.NDArray[Any]:
    """Reads a tensor.

    Args:
      proto: of a float, double, integer, boolean or string type.

    Returns:
      The values in the tensor's shape; strings as an object array of bytes.

    Raises:
      BadAnswer: another type, or fewer or more values than the shape needs.
    """
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
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
        raise BadAnswer(f"a damaged tensor: shape {list(shape)} needs {wanted} values, it has {len(values)}")
    return values.reshape(shape)


def dtype_name(dtype: int) -> str:
    """Returns "float", "string" … as TensorFlow writes it."""
    try:
        return messages.DataType.Name(dtype).removeprefix("DT_").lower()
    except ValueError:
        return f"#{dtype}"


def _shape(shape: Sequence[int]) -> messages.TensorShapeProto:
    return messages.TensorShapeProto(dim=[messages.TensorShapeProto.Dim(size=size) for size in shape])
