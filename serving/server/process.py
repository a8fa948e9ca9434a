"""Starts the embedded server in a fresh process and waits until it answers; imports nothing heavy."""

import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr.core.errors import CxrError
from cxr.core.places import SAVED_MODEL
from cxr.serving.server.options import ServerOptions

STOP_SECONDS = 20  # from SIGTERM to SIGKILL
_TAIL = 2000  # characters of the log in an error


class NotStarted(CxrError):
    """There was too little time, or the system ended the server, for its memory for instance: that says nothing about the models."""


@dataclass(frozen=True)
class RunningServer:
    """A server in another process.

    Attributes:
      address: "host:port" of gRPC.
      rest_address: "host:port" of REST, or None.
      pid: its process.
      log_path: its log.
    """

    address: str
    rest_address: str | None
    pid: int
    log_path: Path


@contextmanager
def start_server(base_paths: Mapping[str, Path | str], timeout: float = 120.0, **options: Any) -> Iterator[RunningServer]:
    """Runs a server for some models in a fresh process; ready when the block begins, gone when it ends.

    Args:
      base_paths: by model name, either a folder with version folders or a bare SavedModel folder (served as version 1).
      timeout: seconds until it must be ready; importing TensorFlow takes some, loading the models the rest.
      **options: fields of ServerOptions; a failed load is not tried again unless `load_retries` says so, and REST is off.

    Yields:
      Its addresses.

    Raises:
      NotStarted: it was not ready in time, or the system ended it; the text has the end of its log.
      CxrError: a folder holds no SavedModel, or the server ends by itself; as above.
    """
    with tempfile.TemporaryDirectory(prefix="cxr-serve-") as folder:
        models = Path(folder) / "models"
        for name, path in base_paths.items():
            _link(models / name, Path(path).resolve())
        chosen = {"port": 0, "rest_port": None, "load_retries": 0, "start_seconds": timeout, **options}
        with run_server(ServerOptions(models_dir=models, **chosen), timeout, Path(folder) / "server.log") as server:
            yield server


@contextmanager
def run_server(options: ServerOptions, timeout: float, log_path: Path) -> Iterator[RunningServer]:
    """Runs a server with these options in a fresh process; see `start_server`.

    Raises: as `start_server`.
    """
    with log_path.open("wb") as log:
        command = [sys.executable, "-m", "cxr.serving.server"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            assert process.stdin is not None
            with process.stdin:  # not as an argument: everybody on the machine could read a TLS key there
                process.stdin.write(options.model_dump_json())
            ready = _first_line(process, timeout)
            if ready is None:
                raise not_up("the embedded server", process.poll(), timeout, log_path)
            yield RunningServer(ready["address"], ready["rest_address"], process.pid, log_path)
        finally:
            _stop(process)


def not_up(server: str, code: int | None, timeout: float, log: Path) -> CxrError:
    """Returns the error of a server that did not come up.

    Args:
      server: what it is called.
      code: that its process ended with; None: it has not.
      timeout: seconds that it had.
      log: its output.
    """
    kind: type[CxrError] = NotStarted
    if code is None:
        state = f"was not ready after {timeout:g} s"
    elif code in (-signal.SIGKILL, -signal.SIGTERM):
        state = f"was ended by the system ({signal.Signals(-code).name}), as where the memory is full"
    else:
        kind, state = CxrError, f"ended with code {code}"
    return kind(f"{server} {state}; its log ends with:\n{log.read_text(encoding='utf-8', errors='replace')[-_TAIL:]}")


def _link(base: Path, path: Path) -> None:
    if (path / SAVED_MODEL).is_file():
        base.mkdir(parents=True)
        (base / "1").symlink_to(path, target_is_directory=True)
    elif path.is_dir():
        base.parent.mkdir(parents=True, exist_ok=True)
        base.symlink_to(path, target_is_directory=True)
    else:
        raise CxrError(f"{path}: no SavedModel and no folder of versions; name one that holds {SAVED_MODEL} or <version>/{SAVED_MODEL}")


def _first_line(process: subprocess.Popen[str], timeout: float) -> dict[str, Any] | None:
    lines: list[str] = []
    assert process.stdout is not None
    reader = threading.Thread(target=lambda out=process.stdout: lines.append(out.readline()), daemon=True)
    reader.start()
    reader.join(timeout)
    if lines and lines[0].startswith("{"):
        return json.loads(lines[0])
    if lines:  # its output is closed: it is about to end, and how it ends tells a faulty model from a busy machine
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    return None


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
