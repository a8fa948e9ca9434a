"""models.config: reading it, making a first one, and replacing it so that no reader ever sees half of it."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelConfig, ModelServerConfig

from cxr.core.errors import CxrError
from cxr.serving.production import model_states
from cxr.serving.production.model_states import SPECIFIC, ModelState

MODEL_PLATFORM = "tensorflow"
STABLE, CANARY = "stable", "canary"
CONTAINER_MODELS = "/models"  # where the containers mount the models
LOCK_SECONDS = 10.0
_HEADER = """\
# ModelServerConfig of TensorFlow Serving. `cxr serving promote` and `rollback` rewrite this file (comments are lost).
# Start servers with --allow_version_labels_for_unavailable_models=true: they check the labels before they load the versions.
"""


def parse(text: str, source: Path) -> ModelServerConfig:
    """Reads a models.config.

    Args:
        text: a ModelServerConfig as text.
        source: for messages.

    Raises:
        CxrError: no such message, or not a list of models.
    """
    try:
        config = text_format.Parse(text, ModelServerConfig())
    except text_format.ParseError as error:
        raise CxrError(f"{source}: not a ModelServerConfig ({error}); make one with: cxr serving config MODELS_DIR") from None
    if config.WhichOneof("config") != "model_config_list":
        raise CxrError(f"{source}: holds no model_config_list; make one with: cxr serving config MODELS_DIR")
    return config


def read(path: Path) -> ModelServerConfig:
    """Reads a file; see `parse`.

    Raises:
        CxrError: it cannot be read, too.
    """
    try:
        return parse(path.read_text(), path)
    except (OSError, UnicodeDecodeError) as error:
        raise CxrError(f"{path}: cannot be read ({error}); name a models.config, or make one with: cxr serving config MODELS_DIR") from None


def find(config: ModelServerConfig, model: str, source: Path) -> ModelConfig:
    """Returns the entry of a model.

    Raises:
        CxrError: there is none; the message lists those that are.
    """
    for entry in config.model_config_list.config:
        if entry.name == model:
            return entry
    names = ", ".join(entry.name for entry in config.model_config_list.config) or "none"
    raise CxrError(f"{source}: has no model {model!r} (it has: {names})")


def render(config: ModelServerConfig) -> str:
    """Returns the text of a models.config."""
    return _HEADER + text_format.MessageToString(config)


def from_folder(models_dir: Path, base_path: str | None = None) -> ModelServerConfig:
    """Makes a first configuration: of every model the newest version only, with both labels on it.

    Args:
        models_dir: holds <model>/<version>/saved_model.pb, as the Pusher leaves it.
        base_path: folder of the models as the server sees it (a container's mount); None: `models_dir` itself.

    Raises:
        CxrError: no model there.
    """
    config = ModelServerConfig()
    for folder in sorted(models_dir.iterdir()) if models_dir.is_dir() else ():
        if versions := versions_in(folder):
            root = str(models_dir.resolve()) if base_path is None else base_path.rstrip("/")
            add(config, folder.name, f"{root}/{folder.name}", versions[-1])
    if not config.model_config_list.config:
        raise CxrError(f"{models_dir}: holds no <model>/<version>/saved_model.pb; name the serving_models folder of a run")
    return config


def add(config: ModelServerConfig, name: str, base_path: str, version: int) -> None:
    """Adds a model that is served in one version, labelled stable and canary."""
    entry = config.model_config_list.config.add(name=name, base_path=base_path, model_platform=MODEL_PLATFORM)
    model_states.write(entry, ModelState(SPECIFIC, versions=(version,), labels={STABLE: version, CANARY: version}))


def versions_in(folder: Path) -> list[int]:
    """Returns the versions of a model that lie in a folder, ascending; empty where there is no folder."""
    if not folder.is_dir():
        return []
    return sorted(int(child.name) for child in folder.iterdir() if child.name.isdecimal() and (child / "saved_model.pb").is_file())


def replace(path: Path, text: str) -> None:
    """Replaces a file in one step: a reader, or a machine that loses power, finds the old text or the new one.

    A link is followed. The file's mode stays; a new file is readable by all, since the server runs as another user.
    """
    target = path.resolve()
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def locked(path: Path, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Keeps others from changing the file: one promotion at a time.

    Raises:
        CxrError: another one holds the lock all the time.
    """
    lock_path = path.resolve().with_name(path.resolve().name + ".lock")
    try:
        lock = lock_path.open("a")
    except OSError as error:
        raise CxrError(
            f"{lock_path}: cannot be written ({error.strerror}); changes of {path.name} need write access to its folder"
        ) from None
    with lock:
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise CxrError(f"{lock_path}: another promotion is under way; try again when it is done") from None
                time.sleep(0.05)
        yield  # closing the file ends the lock
