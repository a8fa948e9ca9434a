"""Files of TensorFlow Serving's own options: --batching_parameters_file and --ssl_config_file.

Unknown fields are errors, as there.
"""

from pathlib import Path
from typing import TypeVar

from google.protobuf import text_format
from google.protobuf.message import Message
from pydantic import ValidationError

from cxr.core.errors import CxrError, UsageError
from cxr.core.validation_errors import all_said
from cxr.serving.server.options import Batching, Tls
from cxr.serving.server.tls import server_context
from cxr.serving.server.wire import server_files_pb2

BATCHING, TLS = "--batching-parameters-file", "--ssl-config-file"
# Fields of BatchingParameters that are messages with a `value`; `Batching` has the same names.
BATCHING_VALUES = (
    "max_batch_size",
    "batch_timeout_micros",
    "max_enqueued_batches",
    "num_batch_threads",
    "enable_large_batch_splitting",
    "max_execution_batch_size",
)
Readable = TypeVar("Readable", bound=Message)


def read_batching(path: Path) -> Batching:
    """Reads a BatchingParameters text proto.

    Raises:
      UsageError: unreadable, not that message, or values that contradict each other.
    """
    message = _read(BATCHING, path, server_files_pb2.BatchingParameters())
    if message.pad_variable_length_inputs:
        raise UsageError(f"{BATCHING} {path}: pad_variable_length_inputs: not supported (images of this project have one size); remove it")
    values = {}
    for field in BATCHING_VALUES:
        if message.HasField(field):
            values[field] = getattr(message, field).value
    values["allowed_batch_sizes"] = tuple(message.allowed_batch_sizes)
    try:
        return Batching(**values)
    except ValidationError as error:
        raise UsageError(f"{BATCHING} {path}: {all_said(error)}") from None


def read_tls(path: Path) -> Tls:
    """Reads an SSLConfig text proto; its fields hold the PEM texts themselves, as TensorFlow Serving wants them.

    Raises:
      UsageError: unreadable, not that message, without key and certificate, or with some that cannot be used.
    """
    message = _read(TLS, path, server_files_pb2.SSLConfig())
    if not message.server_key or not message.server_cert:
        raise UsageError(f"{TLS} {path}: server_key and server_cert are needed (the PEM texts)")
    if message.client_verify and not message.custom_ca:
        raise UsageError(f"{TLS} {path}: client_verify needs custom_ca, the PEM text of who signs the clients' certificates")
    tls = Tls(
        key=message.server_key,
        certificate=message.server_cert,
        client_ca=message.custom_ca or None,
        client_verify=message.client_verify,
    )
    try:
        server_context(tls)
    except CxrError as error:
        raise UsageError(f"{TLS} {path}: {error}") from None
    return tls


def _read(option: str, path: Path, message: Readable) -> Readable:
    kind = message.DESCRIPTOR.name
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), message)
    except OSError as error:
        raise UsageError(f"{option} {path}: cannot be read ({error.strerror}); name a {kind} text proto") from None
    except UnicodeDecodeError:
        raise UsageError(f"{option} {path}: is no text; name a {kind} text proto") from None
    except text_format.ParseError as error:
        raise UsageError(f"{option} {path}: not a {kind} text proto: {error}; its fields are TensorFlow Serving's") from None
