"""models.config in production: a first one with labels, and replacing it so that no reader ever sees half of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelConfig, ModelServerConfig

from cxr.core import folder_lock
from cxr.core.durable import replace_text
from cxr.core.errors import CxrError, UsageError
from cxr.serving import models_config
from cxr.serving.production import model_states
from cxr.serving.production.model_states import SPECIFIC, ModelState

STABLE, CANARY = "stable", "canary"
LOCK_SECONDS = 10.0
_HEADER = """\
# ModelServerConfig of TensorFlow Serving. `cxr serving promote` and `rollback` rewrite this file (comments are lost).
# Start servers with --allow_version_labels_for_unavailable_models=true: they check the labels before they load the versions.
"""


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


def first(models_dir: Path, base_path: str | None = None) -> ModelServerConfig:
    """Makes a first configuration: of every model the newest version only, with both labels on it.

    Args:
      models_dir: holds <model>/<version>/saved_model.pb, as the Pusher leaves it.
      base_path: folder of the models as the server sees it (a container's mount); None: `models_dir` itself.

    Raises:
      CxrError: no model there.
    """
    config = models_config.from_folder(models_dir, base_path)
    for entry in config.model_config_list.config:
        newest = models_config.versions_in(models_dir / entry.name)[-1]
        model_states.write(entry, ModelState(SPECIFIC, versions=(newest,), labels={STABLE: newest, CANARY: newest}))
    return config


def replace(path: Path, text: str) -> None:
    """Replaces a file in one step: a reader, or a machine that loses power, finds the old text or the new one.

    A link is followed. The file's mode stays; a new file is readable by all, since the server runs as another user.
    """
    target = path.resolve()
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
    replace_text(target, text, mode)


@contextmanager
def locked(path: Path, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Keeps others from changing the file: one promotion at a time.

    Raises:
      UsageError: there is no folder that the file could be in.
      CxrError: another one holds the lock all the time, it cannot be made, or the volume has no file locks.
    """
    lock_path = path.resolve().with_name(path.resolve().name + ".lock")
    try:
        lock = lock_path.open("a")
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file, nor its folder; name a models.config, or {models_config.REMEDY} --out {path}") from None
    except OSError as error:
        raise CxrError(
            f"{lock_path}: cannot be written ({error.strerror}); changes of {path.name} need write access to its folder"
        ) from None
    with lock:
        folder_lock.wait(lock, seconds, "another promotion is under way; try again when it is done")
        yield  # closing the file ends the lock
