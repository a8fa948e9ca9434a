import numpy as np
import pytest

from cxr.serving.client.errors import BadAnswer
from cxr.serving.client.tensors import dtype_name, from_bytes, from_floats, to_arrays
from cxr.serving.client.wire import messages
from cxr.serving.defaults import LARGEST_FILLED


def _to_array(proto):
    return to_arrays({"output": proto})["output"]


def _proto(shape, **fields):
    sizes = messages.TensorShapeProto(dim=[messages.TensorShapeProto.Dim(size=size) for size in shape])
    return messages.TensorProto(tensor_shape=sizes, **fields)


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
    read = _to_array(made)
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)


def test_reads_typed_fields_with_a_repeated_last_value_left_out():
    assert _to_array(_proto([4], dtype=messages.DT_FLOAT, float_val=[1.0, 2.0])).tolist() == [1, 2, 2, 2]


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
    with pytest.raises(BadAnswer):
        _to_array(_proto([2], **damage))


def test_a_negative_size_is_damage_too():
    with pytest.raises(BadAnswer, match="a damaged tensor: shape"):
        _to_array(_proto([-1, -2], dtype=messages.DT_FLOAT, float_val=[1.0, 2.0]))


MANY = LARGEST_FILLED // 4  # floats


def test_a_repeated_value_is_filled_in_up_to_a_limit():
    assert _to_array(_proto([MANY], dtype=messages.DT_FLOAT, float_val=[0.5])).tolist() == [0.5] * MANY


@pytest.mark.parametrize(
    "outputs",
    [
        {"heat_map": _proto([MANY + 2], dtype=messages.DT_FLOAT, float_val=[0.5])},
        {"heat_map": _proto([2**40, 2**40], dtype=messages.DT_FLOAT, float_val=[0.5])},
        {"heat_map": _proto([LARGEST_FILLED // 8 + 2], dtype=messages.DT_STRING, string_val=[b"normal"])},
        {name: _proto([MANY // 2], dtype=messages.DT_FLOAT, float_val=[0.5]) for name in ("label", "classes", "heat_map")},
    ],
    ids=["just beyond", "far beyond", "strings", "several together"],
)
def test_more_values_than_an_answer_may_leave_out_are_refused_before_memory_is_taken(outputs, monkeypatch):
    monkeypatch.setattr(np, "repeat", lambda *_: pytest.fail("values were filled in"))
    with pytest.raises(BadAnswer, match="'heat_map' announces shape .* and holds few of its values"):
        to_arrays(outputs)


@pytest.mark.parametrize("shape", [[2**62, 0], [1] * 65])
def test_a_shape_that_no_array_has_is_damage(shape):
    with pytest.raises(BadAnswer, match="a damaged tensor"):
        _to_array(_proto(shape, dtype=messages.DT_FLOAT, float_val=[1.0] if 0 not in shape else []))


def test_unknown_types_have_a_number_for_a_name():
    assert (dtype_name(messages.DT_STRING), dtype_name(14)) == ("string", "#14")
