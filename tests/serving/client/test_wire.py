"""The client's own messages are TensorFlow Serving's on the wire."""

import subprocess
import sys

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from cxr.serving.client.wire import messages


def _theirs() -> dict[str, type[Message]]:
    from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2
    from tensorflow.core.protobuf import meta_graph_pb2
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        get_model_status_pb2,
        model_management_pb2,
        model_pb2,
        predict_pb2,
        status_pb2,
    )

    modules = (
        tensor_pb2,
        tensor_shape_pb2,
        meta_graph_pb2,
        get_model_metadata_pb2,
        get_model_status_pb2,
        model_management_pb2,
        model_pb2,
        predict_pb2,
        status_pb2,
    )
    return {name: kind for module in modules for name, kind in vars(module).items() if isinstance(kind, type) and issubclass(kind, Message)}


def _kind(field: FieldDescriptor) -> tuple[int, bool]:
    # An enum travels as an int32 does, a nested message as bytes do.
    same = {FieldDescriptor.TYPE_ENUM: FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_MESSAGE: FieldDescriptor.TYPE_BYTES}
    return same.get(field.type, field.type), field.is_repeated


@pytest.mark.parametrize("name", sorted(messages.DESCRIPTOR.message_types_by_name))
def test_every_field_has_the_number_and_type_of_tensorflow_serving(name):
    ours, theirs = messages.DESCRIPTOR.message_types_by_name[name], _theirs()[name].DESCRIPTOR
    for field in ours.fields:
        other = theirs.fields_by_name[field.name]
        assert (field.number, *_kind(field)) == (other.number, *_kind(other)), field.name


def test_enums_have_the_same_numbers():
    from tensorflow.core.framework import types_pb2
    from tensorflow_serving.apis.get_model_status_pb2 import ModelVersionStatus

    assert dict(messages.DataType.items()).items() <= dict(types_pb2.DataType.items()).items()
    assert dict(messages.ModelVersionStatus.State.items()) == dict(ModelVersionStatus.State.items())


def test_client_and_promotions_import_no_tensorflow():
    modules = "cxr.serving.client.client, cxr.serving.client.bench, cxr.serving.production.changes, cxr.serving.production.overview"
    code = f"import sys, {modules}; sys.exit(any(m in sys.modules for m in ('tensorflow', 'keras', 'tfx')))"
    assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 0
