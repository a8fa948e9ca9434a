"""Files of TensorFlow Serving's own options: --batching_parameters_file and --ssl_config_file.

Unknown fields are errors, as there.
"""

from pathlib import Path
from typing import TypeVar

from google.protobuf import text_format
from google.protobuf.message import Message

from cxr.core.errors import CxrError
from cxr.serving.server.options import Batching, Tls
from cxr.serving.server.wire import server_files_pb2

Readable = TypeVar("Readable", bound=Message)


def read_batching(path: Path) -> Batching:
    """Reads a BatchingParameters text proto.

    Raises:
      CxrError: unreadable, not that message, or values that contradict each other.
    """
    message = _read(path, server_files_pb2.BatchingParameters())
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
    message = _read(path, server_files_pb2.SSLConfig())
    if not message.server_key or not message.server_cert:
        raise CxrError(f"{path}: server_key and server_cert are needed (the PEM texts)")
    return Tls(
        key=message.server_key,
        certificate=message.server_cert,
        client_ca=message.custom_ca or None,
        client_verify=message.client_verify,
    )


def _read(path: Path, message: Readable) -> Readable:
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), message)
    except (OSError, UnicodeDecodeError) as error:
        raise CxrError(f"{path}: cannot be read ({error})") from error
    except text_format.ParseError as error:
        raise CxrError(f"{path}: not a {message.DESCRIPTOR.name} text proto: {error}") from error
