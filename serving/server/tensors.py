"""TensorProto to numpy and back, with TensorFlow Serving's idea of a malformed proto and typed fields in answers."""

import math

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2

MAX_DIMENSIONS = 254  # TensorFlow's own limit
_FIELDS = {  # typed field of a TensorProto by dtype; what is missing here goes into tensor_content
    types_pb2.DT_FLOAT: "float_val",
    types_pb2.DT_DOUBLE: "double_val",
    types_pb2.DT_INT32: "int_val",
    types_pb2.DT_INT16: "int_val",
    types_pb2.DT_INT8: "int_val",
    types_pb2.DT_UINT16: "int_val",
    types_pb2.DT_UINT8: "int_val",
    types_pb2.DT_INT64: "int64_val",
    types_pb2.DT_UINT32: "uint32_val",
    types_pb2.DT_UINT64: "uint64_val",
    types_pb2.DT_BOOL: "bool_val",
}


def dtype_name(number: int) -> str:
    """Returns TensorFlow's name of a DataType number ("float", not "float32")."""
    names = {types_pb2.DT_FLOAT: "float", types_pb2.DT_DOUBLE: "double"}
    return names.get(number) or tf.dtypes.as_dtype(number).name


def to_array(proto: tensor_pb2.TensorProto, max_bytes: int) -> np.ndarray:
    """Decodes a tensor of a request.

    Args:
        proto: dtype any, shape any.
        max_bytes: the decoded array may not be larger; one value repeated over a huge shape is a short message.

    Returns:
        Array; strings as object dtype.

    Raises:
        ValueError: malformed: unknown dtype or rank, negative dimension, content that does not fill the shape, too large.
    """
    dtype = tf.dtypes.as_dtype(proto.dtype)  # TypeError or ValueError for DT_INVALID and strangers
    if proto.tensor_shape.unknown_rank or len(proto.tensor_shape.dim) > MAX_DIMENSIONS:
        raise ValueError("rank")
    shape = [dim.size for dim in proto.tensor_shape.dim]
    if any(size < 0 for size in shape):
        raise ValueError("negative dimension")
    count = math.prod(shape)
    if count * max(dtype.size or 0, 1) > max_bytes:
        raise ValueError("too large")
    if dtype == tf.string:
        return _strings(proto, shape, count)
    if proto.tensor_content and len(proto.tensor_content) != count * dtype.size:
        raise ValueError("content")
    return tf.make_ndarray(proto)


def _strings(proto: tensor_pb2.TensorProto, shape: list[int], count: int) -> np.ndarray:
    values = list(proto.string_val)
    if proto.tensor_content:
        raise ValueError("content")
    if len(values) < count:  # TensorFlow repeats the last value; an absent one is empty
        values += [values[-1] if values else b""] * (count - len(values))
    array = np.empty(count, dtype=object)
    array[:] = values[:count]
    return array.reshape(shape)


def to_proto(array: np.ndarray) -> tensor_pb2.TensorProto:
    """Encodes an output with its typed field (`float_val`, …), as TensorFlow Serving does by default."""
    array = np.asarray(array)
    shape = tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=size) for size in array.shape])
    if array.dtype.kind in "OSU":
        strings = [value if isinstance(value, bytes) else str(value).encode() for value in array.ravel().tolist()]
        return tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, tensor_shape=shape, string_val=strings)
    number = tf.dtypes.as_dtype(array.dtype).as_datatype_enum
    proto = tensor_pb2.TensorProto(dtype=number, tensor_shape=shape)
    field = _FIELDS.get(number)
    if field is None:
        proto.tensor_content = array.tobytes()
    else:
        getattr(proto, field).extend(array.ravel().tolist())
    return proto
