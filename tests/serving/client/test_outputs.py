"""Answers that are not what a model of this pipeline gives: each is told as one, none ends in an error of Python's."""

import numpy as np
import pytest

from cxr.core import features
from cxr.serving.client.connection import Connection
from cxr.serving.client.errors import BadAnswer
from cxr.serving.client.explained import heat_maps
from cxr.serving.client.models import Target, reading
from cxr.serving.client.predictions import predictions
from cxr.serving.client.tensors import from_bytes, from_floats, from_integers
from cxr.serving.client.wire import messages

CLASSES = ("covid19", "größe", "normal")
MEMBER, MEMBERS_MAP = (name.format(member="mobilenet") for name in (features.MEMBER_PROBABILITIES, features.MEMBER_HEAT_MAP))


def shaped(proto, *shape):
    proto.tensor_shape.CopyFrom(messages.TensorShapeProto(dim=[messages.TensorShapeProto.Dim(size=size) for size in shape]))
    return proto


def good():
    """Of two images."""
    shares, maps = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]], np.float32), np.full((2, 4, 4), 0.5, np.float32)
    response = messages.PredictResponse()
    response.model_spec.name = "ensemble"
    for name, proto in {
        features.PROBABILITIES: from_floats(shares),
        MEMBER: from_floats(shares[::-1]),
        features.PREDICTED_LABEL: from_bytes([CLASSES[0].encode(), CLASSES[2].encode()]),
        features.OUTPUT_CLASS_NAMES: shaped(from_bytes([name.encode() for name in CLASSES * 2]), 2, 3),
        features.UNLIKE_TRAINING: from_floats(np.array([0.2, 0.8], np.float32)),
        features.OUTSIDE: shaped(messages.TensorProto(dtype=messages.DT_BOOL, bool_val=[False, True]), 2),
        features.CONFORMAL_SET: shaped(messages.TensorProto(dtype=messages.DT_BOOL, bool_val=[True, False, True] * 2), 2, 3),
        features.EXPLAINED_CLASS: from_integers([0, 2]),
        features.HEAT_MAP: from_floats(maps),
        MEMBERS_MAP: from_floats(maps),
    }.items():
        response.outputs[name].CopyFrom(proto)
    return response


def read(response):
    return predictions(["a", "b"], response), heat_maps([b"", b""], response)


def test_a_good_answer_is_read():
    (first, second), maps = read(good())
    assert (first.label, second.label) == ("covid19", "normal")
    assert list(first.probabilities) == list(CLASSES)
    assert second.members["mobilenet"]["covid19"] == first.probabilities["covid19"] == 0.5
    assert (second.unlike_training, second.outside, second.conformal_set) == (pytest.approx(0.8), True, ("covid19", "normal"))
    assert [found.explained for found in maps] == ["covid19", "normal"]
    assert list(maps[0].members) == ["mobilenet"]


OTHERS = {
    "text in place of numbers, or numbers in place of text": lambda proto: (
        from_floats(np.zeros(_shape(proto), np.float32)) if proto.string_val else shaped(from_bytes([b"x"] * _size(proto)), *_shape(proto))
    ),
    "a dimension more": lambda proto: shaped(proto, *_shape(proto), 1),
    "a dimension less": lambda proto: shaped(proto, _size(proto)) if len(_shape(proto)) > 1 else shaped(proto),
    "a row more": lambda proto: shaped(_grown(proto), 3, *_shape(proto)[1:]),
    "no rows": lambda proto: messages.TensorProto(dtype=proto.dtype, tensor_shape=_dims(0, *_shape(proto)[1:])),
    "no columns": lambda proto: messages.TensorProto(dtype=proto.dtype, tensor_shape=_dims(*_shape(proto)[:1], 0)),
}


def _dims(*shape):
    return shaped(messages.TensorProto(), *shape).tensor_shape


def _shape(proto):
    return tuple(dim.size for dim in proto.tensor_shape.dim)


def _size(proto):
    return int(np.prod(_shape(proto)))


def _grown(proto):
    """A value of its kind for each element of three rows; the last one stands for what is left out."""
    single = messages.TensorProto(dtype=proto.dtype)
    if proto.tensor_content:
        single.float_val.append(0.5)
    for field in ("string_val", "bool_val", "int64_val"):
        getattr(single, field).extend(getattr(proto, field)[:1])
    return single


@pytest.mark.parametrize("damage", OTHERS)
@pytest.mark.parametrize("output", sorted(good().outputs))
def test_an_output_of_another_form_is_a_bad_answer(output, damage):
    response = good()
    response.outputs[output].CopyFrom(OTHERS[damage](good().outputs[output]))
    with pytest.raises(BadAnswer, match=rf"^ensemble: output '{output}' (has shape|is of the wrong type)|^a damaged tensor"):
        read(response)


@pytest.mark.parametrize(
    "output", [features.PROBABILITIES, features.PREDICTED_LABEL, features.OUTPUT_CLASS_NAMES, features.EXPLAINED_CLASS, features.HEAT_MAP]
)
def test_an_output_that_is_missing_is_named(output):
    response = good()
    del response.outputs[output]
    with pytest.raises(BadAnswer, match=f"ensemble: no output '{output}' in the answer, only "):
        read(response)


@pytest.mark.parametrize("number", [-1, 3])
def test_a_class_that_there_is_not_is_a_bad_answer(number):
    response = good()
    response.outputs[features.EXPLAINED_CLASS].CopyFrom(from_integers([0, number]))
    with pytest.raises(BadAnswer, match=f"'{features.EXPLAINED_CLASS}' is the number of no class"):
        read(response)


def test_names_that_are_no_utf8_are_a_bad_answer():
    response = good()
    response.outputs[features.PREDICTED_LABEL].CopyFrom(from_bytes([b"\xff", b"normal"]))
    with pytest.raises(BadAnswer, match=f"output '{features.PREDICTED_LABEL}' is no UTF-8"):
        read(response)


@pytest.mark.parametrize("told", [None, from_integers([]), from_bytes([b"512"])], ids=["missing", "empty", "text"])
def test_a_reading_without_a_number_is_a_bad_answer(monkeypatch, told):
    def answer(self, method, request, timeout, target):
        if method == "GetModelMetadata":
            found = messages.SignatureDefMap()
            found.signature_def[features.SIGNATURE_READING].SetInParent()
            metadata = messages.GetModelMetadataResponse()
            metadata.metadata["signature_def"].value = found.SerializeToString()
            return metadata
        response = messages.PredictResponse()
        if told is not None:
            response.outputs[features.MAX_SIDE].CopyFrom(told)
        return response

    monkeypatch.setattr(Connection, "call", answer)
    with pytest.raises(BadAnswer, match=f"no number as output '{features.MAX_SIDE}' in the answer"):
        reading(Connection("127.0.0.1:1", None), Target("ensemble", None, None), 1)


@pytest.mark.parametrize("name", [features.HEAT_MAP, MEMBERS_MAP])
@pytest.mark.parametrize(
    "proto", [from_floats(np.full((2, 4, 4), np.nan, np.float32)), shaped(from_integers([1] * 32), 2, 4, 4)], ids=["NaN", "integers"]
)
def test_a_heat_map_without_numbers_is_no_answer(name, proto):
    response = good()
    response.outputs[name].CopyFrom(proto)
    with pytest.raises(BadAnswer, match=f"output '{name}' is no map of finite floats"):
        heat_maps([b"", b""], response)
