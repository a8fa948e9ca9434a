import numpy as np
import pytest

from cxr.serving.client.errors import BadAnswer
from cxr.serving.client.tensors import dtype_name, from_bytes, from_floats, to_array
from cxr.serving.client.wire import messages


def _as_tensorflow(proto):
    from tensorflow.core.framework.tensor_pb2 import TensorProto

    return TensorProto.FromString(proto.SerializeToString())


def test_tensorflow_reads_what_is_built():
    import tensorflow as tf

    floats = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    np.testing.assert_array_equal(tf.make_ndarray(_as_tensorflow(from_floats(floats))), floats)
    np.testing.assert_array_equal(tf.make_ndarray(_as_tensorflow(from_bytes([b"a", b"\xff\x00"]))), np.array([b"a", b"\xff\x00"], object))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.uint8, np.int64, np.bool_])
@pytest.mark.parametrize("values", [[[1, 0], [1, 1]], [[1, 1], [1, 1]], []])
def test_reads_what_tensorflow_builds(dtype, values):
    import tensorflow as tf

    array = np.array(values, dtype)
    made = messages.TensorProto.FromString(tf.make_tensor_proto(array).SerializeToString())
    read = to_array(made)
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)


def test_reads_typed_fields_with_a_repeated_last_value_left_out():
    shape = messages.TensorShapeProto(dim=[messages.TensorShapeProto.Dim(size=4)])
    proto = messages.TensorProto(dtype=messages.DT_FLOAT, tensor_shape=shape, float_val=[1.0, 2.0])
    assert to_array(proto).tolist() == [1, 2, 2, 2]


@pytest.mark.parametrize(
    "damage",
    [
        {"dtype": messages.DT_FLOAT, "float_val": [1.0, 2.0, 3.0]},
        {"dtype": messages.DT_FLOAT, "tensor_content": b"\x00" * 7},
        {"dtype": messages.DT_FLOAT, "tensor_content": b"\x00" * 4},
        {"dtype": messages.DT_STRING},
        {"dtype": 14, "float_val": [1.0]},
    ],
)
def test_damaged_and_unknown_tensors_are_errors(damage):
    shape = messages.TensorShapeProto(dim=[messages.TensorShapeProto.Dim(size=2)])
    with pytest.raises(BadAnswer):
        to_array(messages.TensorProto(tensor_shape=shape, **damage))


def test_a_negative_size_is_damage_too():
    shape = messages.TensorShapeProto(dim=[messages.TensorShapeProto.Dim(size=-1), messages.TensorShapeProto.Dim(size=-2)])
    with pytest.raises(BadAnswer, match="a damaged tensor: shape"):
        to_array(messages.TensorProto(dtype=messages.DT_FLOAT, tensor_shape=shape, float_val=[1.0, 2.0]))


def test_unknown_types_have_a_number_for_a_name():
    assert (dtype_name(messages.DT_STRING), dtype_name(14)) == ("string", "#14")
