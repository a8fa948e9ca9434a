"""Files of TensorFlow Serving's own options: --batching_parameters_file and --ssl_config_file.

Their messages are missing from tensorflow-serving-api, so they are described here; unknown fields are errors, as there.
"""

from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from google.protobuf.message import Message

from cxr.core.errors import CxrError
from cxr.serving.server.options import Batching, Tls

_TYPE = descriptor_pb2.FieldDescriptorProto
_MESSAGES = {  # name: {field: (number, type or wrapper, repeated)}; numbers from session_bundle_config.proto and ssl_config.proto
    "BatchingParameters": {
        "max_batch_size": (1, "Int64Value", False),
        "batch_timeout_micros": (2, "Int64Value", False),
        "max_enqueued_batches": (3, "Int64Value", False),
        "num_batch_threads": (4, "Int64Value", False),
        "thread_pool_name": (5, "StringValue", False),
        "allowed_batch_sizes": (6, _TYPE.TYPE_INT64, True),
        "pad_variable_length_inputs": (7, _TYPE.TYPE_BOOL, False),
        "enable_large_batch_splitting": (8, "BoolValue", False),
        "max_execution_batch_size": (9, "Int64Value", False),
    },
    "SSLConfig": {
        "server_key": (1, _TYPE.TYPE_STRING, False),
        "server_cert": (2, _TYPE.TYPE_STRING, False),
        "custom_ca": (3, _TYPE.TYPE_STRING, False),
        "client_verify": (4, _TYPE.TYPE_BOOL, False),
    },
}


def read_batching(path: Path) -> Batching:
    """Reads a BatchingParameters text proto.

    Raises:
        CxrError: unreadable, not that message, or values that contradict each other.
    """
    message = _read(path, "BatchingParameters")
    if message.pad_variable_length_inputs:
        raise CxrError(f"{path}: pad_variable_length_inputs: not supported (images of this project have one size); remove it")
    values = {}
    for field in ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads", "enable_large_batch_splitting"):
        if message.HasField(field):
            values[field] = getattr(message, field).value
    values["allowed_batch_sizes"] = tuple(message.allowed_batch_sizes)
    try:
        return Batching(**values)
    except ValueError as error:
        raise CxrError(f"{path}: {error}") from error


def read_tls(path: Path) -> Tls:
    """Reads an SSLConfig text proto; its fields hold the PEM texts themselves, as TensorFlow Serving wants them.

    Raises:
        CxrError: unreadable, not that message, or without key and certificate.
    """
    message = _read(path, "SSLConfig")
    if not message.server_key or not message.server_cert:
        raise CxrError(f"{path}: server_key and server_cert are needed (the PEM texts)")
    return Tls(
        key=message.server_key,
        certificate=message.server_cert,
        client_ca=message.custom_ca or None,
        client_verify=message.client_verify,
    )


def _read(path: Path, name: str) -> Message:
    try:
        return text_format.Parse(path.read_text(), _message_class(name)())
    except (OSError, UnicodeDecodeError) as error:
        raise CxrError(f"{path}: cannot be read ({error})") from error
    except text_format.ParseError as error:
        raise CxrError(f"{path}: not a {name} text proto: {error}") from error


def _message_class(name: str) -> type[Message]:
    pool = descriptor_pool.DescriptorPool()  # its own: TensorFlow's extensions may describe the real ones in the default pool
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(name=f"{name}.proto", package="cxr", syntax="proto3")
    file.dependency.append("google/protobuf/wrappers.proto")
    message = file.message_type.add(name=name)
    for field, (number, kind, repeated) in _MESSAGES[name].items():
        entry = message.field.add(name=field, number=number, label=_TYPE.LABEL_REPEATED if repeated else _TYPE.LABEL_OPTIONAL)
        if isinstance(kind, str):
            entry.type, entry.type_name = _TYPE.TYPE_MESSAGE, f".google.protobuf.{kind}"
        else:
            entry.type = kind
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"cxr.{name}"))
