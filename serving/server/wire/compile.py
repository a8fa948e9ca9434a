"""Compiles the .proto files here: `python compile.py PYTHON`; that Python has grpcio-tools 1.76, whose result protobuf 6.33 reads.

The services use messages whose .proto files no package has; protoc gets their descriptors from tensorflow-serving-api's modules.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

HERE = Path(__file__).parent
APIS = "tensorflow_serving/apis"
USED = (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)


def main(python: str) -> None:
    """Writes *_pb2.py and *_pb2.pyi beside this file."""
    files: dict[str, FileDescriptor] = {}
    for module in USED:
        _collect(module.DESCRIPTOR, files)
    found = descriptor_pb2.FileDescriptorSet()
    for file in files.values():
        file.CopyToProto(found.file.add())
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        (out / "used.pb").write_bytes(found.SerializeToString())
        services = [f"{APIS}/{service}.proto" for service in ("model_service", "prediction_service")]
        protoc = [python, "-m", "grpc_tools.protoc", "-I.", f"--python_out={out}", f"--pyi_out={out}"]
        subprocess.run([*protoc, f"--descriptor_set_in={out / 'used.pb'}", *services], check=True, cwd=HERE)
        subprocess.run([*protoc, "server_files.proto"], check=True, cwd=HERE)
        for path in out.rglob("*_pb2.py*"):
            (HERE / path.name).write_text("# ruff: noqa\n# fmt: off\n" + path.read_text(encoding="utf-8"), encoding="utf-8")


def _collect(file: FileDescriptor, files: dict[str, FileDescriptor]) -> None:
    for used in file.dependencies:
        _collect(used, files)
    files[file.name] = file


if __name__ == "__main__":
    main(sys.argv[1])
