"""TensorFlow Serving's own server in a fresh process, for the check, where its binary is on PATH (image target `serving`)."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cxr.core.errors import CxrError
from cxr.serving.client.connection import Connection
from cxr.serving.client.errors import RequestFailed
from cxr.serving.client.models import AVAILABLE, END, versions
from cxr.serving.server import tfserving
from cxr.serving.server.options import Batching, ServerOptions
from cxr.serving.server.process import not_up

_ASK_SECONDS = 1.0  # between two looks at the process; until the port opens, a question takes that long


def available() -> bool:
    """Tells whether the binary is on PATH."""
    return shutil.which(tfserving.BINARY) is not None


@contextmanager
def start_tensorflow_serving(saved_models: Mapping[str, str], timeout: float) -> Iterator[str]:
    """Serves SavedModels; ready when the block begins, gone when it ends.

    Args:
      saved_models: By model name, the folder of a SavedModel.
      timeout: Seconds until all must be loaded.

    Yields:
      "host:port" of gRPC.

    Raises:
      NotStarted: Not all was loaded in time, or the system ended the server; the text has the end of the log.
      CxrError: A model cannot be loaded; the text has the reason.
    """
    with tempfile.TemporaryDirectory(prefix="cxr-tfserving-") as name:
        folder = Path(name)
        for model, path in saved_models.items():
            (folder / "models" / model).mkdir(parents=True)
            (folder / "models" / model / "1").symlink_to(Path(path).resolve(), target_is_directory=True)
        port = _free_port()
        options = ServerOptions(
            models_dir=folder / "models",
            host=tfserving.ALL_INTERFACES,
            port=port,
            rest_port=None,
            load_retries=0,
            batching=Batching(enabled=False),
        )
        log = folder / "server.log"
        with log.open("wb") as output:
            command = [tfserving.BINARY, *tfserving.arguments(options, folder)]
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            address = f"127.0.0.1:{port}"
            _wait(process, address, list(saved_models), timeout, log)
            yield address
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], address: str, models: list[str], timeout: float, log: Path) -> None:
    end = time.monotonic() + timeout
    with Connection(address) as connection:
        while models:
            if process.poll() is not None or time.monotonic() > end:
                raise not_up(tfserving.BINARY, process.poll(), timeout, log)
            try:
                (version,) = versions(connection, models[-1], _ASK_SECONDS)
            except (RequestFailed, ValueError):  # not listening yet, or the model is not known yet
                time.sleep(0.2)
                continue
            if version.state == AVAILABLE:
                models.pop()
            elif version.state == END:
                raise CxrError(f"{tfserving.BINARY} could not load {models[-1]}: {version.error}")
            else:
                time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
