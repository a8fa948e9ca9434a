"""TensorProto to numpy and back, with TensorFlow Serving's idea of a malformed proto and typed fields in answers."""

import math

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2

from cxr.serving.defaults import LARGEST_FILLED

MAX_DIMENSIONS = 254  # TensorFlow's own limit
_POINTER = 8  # bytes that a string takes in an array, besides its own
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


def checked_shape(proto: tensor_pb2.TensorProto, max_bytes: int) -> list[int]:
    """Looks at what a tensor of a request announces, before anything is unpacked.

    TensorFlow fills a shape with the last value sent, or with zeros: a message of 25 bytes can announce ten million strings. Up to
    LARGEST_FILLED that is honoured; above, every value must have been sent.

    Args:
      proto: dtype any, shape any.
      max_bytes: the decoded array may not be larger.

    Returns:
      Its shape.

    Raises:
      TypeError, ValueError: malformed: unknown dtype or rank, negative dimension, content that does not fill the shape, too large.
    """
    dtype = tf.dtypes.as_dtype(proto.dtype)  # TypeError or ValueError for DT_INVALID and strangers
    if dtype in (tf.resource, tf.variant):  # of which TensorFlow knows no size
        raise ValueError("dtype")
    if proto.tensor_shape.unknown_rank or len(proto.tensor_shape.dim) > MAX_DIMENSIONS:
        raise ValueError("rank")
    shape = [dim.size for dim in proto.tensor_shape.dim]
    if any(size < 0 for size in shape):
        raise ValueError("negative dimension")
    content = len(proto.tensor_content)
    unpacked = math.prod(shape) * (_POINTER if dtype == tf.string else dtype.size)
    if unpacked > max_bytes:
        raise ValueError("too large")
    if content and (dtype == tf.string or content != unpacked):
        raise ValueError("content")
    if not content and unpacked > LARGEST_FILLED:
        sent = sum(len(values) for field, values in proto.ListFields() if field.name.endswith("_val"))
        if sent < math.prod(shape):
            raise ValueError("more values announced than sent")
    return shape


def to_array(proto: tensor_pb2.TensorProto) -> np.ndarray:
    """Decodes a tensor of a request that passed `checked_shape`.

    As TensorFlow Serving (`Tensor::FromProto`): values beyond the shape are left out, numbers beyond the type keep their lowest bits.

    Returns:
      Array; strings as object dtype.

    Raises:
      TypeError, ValueError: malformed.
    """
    if proto.dtype == types_pb2.DT_STRING:
        return _strings(proto)
    try:
        return tf.make_ndarray(proto)
    except (OverflowError, ValueError):  # NumPy is stricter
        pass
    try:
        return tf.io.parse_tensor(proto.SerializeToString(), tf.dtypes.as_dtype(proto.dtype)).numpy()
    except tf.errors.OpError as error:
        raise ValueError("values") from error


def _strings(proto: tensor_pb2.TensorProto) -> np.ndarray:
    shape = [dim.size for dim in proto.tensor_shape.dim]
    count, values = math.prod(shape), list(proto.string_val)
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
