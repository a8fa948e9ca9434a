"""models.config (a text proto ModelServerConfig): read from a file, or made of a folder of models. Server and promotion share it."""

from __future__ import annotations

import logging
from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from cxr.core.errors import UsageError
from cxr.core.model_versions import version_of
from cxr.core.places import SAVED_MODEL
from cxr.core.visible import visible

log = logging.getLogger(__name__)
PLATFORM = "tensorflow"
REMEDY = "make one with: cxr serving config MODELS_DIR"


def read(path: Path) -> ModelServerConfig:
    """Reads a file; see `parse`.

    Raises:
      UsageError: it cannot be read, too.
    """
    try:
        return parse(path.read_text(encoding="utf-8"), path)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read ({error}); name a models.config, or {REMEDY}") from None


def parse(text: str, source: Path) -> ModelServerConfig:
    """Reads a models.config.

    Args:
      text: a ModelServerConfig as text.
      source: for messages.

    Raises:
      UsageError: no such message (the text names line and column), or not a list of models.
    """
    try:
        config = text_format.Parse(text, ModelServerConfig())
    except text_format.ParseError as error:
        raise UsageError(f"{source}: not a ModelServerConfig ({error}); {REMEDY}") from None
    if config.WhichOneof("config") != "model_config_list":
        raise UsageError(f"{source}: holds no model_config_list; {REMEDY}")
    return config


def from_folder(models_dir: Path, base_path: str | None = None) -> ModelServerConfig:
    """Makes a configuration of every model that has at least one whole version; it says nothing on versions, so the latest is served.

    A folder that may not be looked into (a volume's lost+found), or that no client could name, is passed over with a warning.

    Args:
      models_dir: holds <model>/<version>/saved_model.pb, as the Pusher leaves it.
      base_path: folder of the models as the server sees it (a container's mount); None: `models_dir` itself.

    Raises:
      UsageError: the folder is missing or holds no model.
    """
    if not models_dir.is_dir():
        none = "a run makes it once its gate lets a model pass (`cxr report` says why one did not)"
        raise UsageError(f"{models_dir}: no such folder; {none}; or name the folder that holds <model>/<version>/{SAVED_MODEL}")
    root = str(models_dir.resolve()) if base_path is None else base_path.rstrip("/")
    config = ModelServerConfig()
    for folder in sorted(models_dir.iterdir()):
        try:
            if versions_in(folder):
                base = f"{root}/{folder.name}"
                base.encode()
                config.model_config_list.config.add(name=folder.name, base_path=base, model_platform=PLATFORM)
        except OSError as error:
            log.warning("%s: is not served, it cannot be looked into (%s); have the permission given", folder, error.strerror)
        except UnicodeEncodeError:
            log.warning("%s: is not served, its path is no UTF-8, which no request can hold; rename it", visible(str(folder)))
    if not config.model_config_list.config:
        raise UsageError(f"{models_dir}: no <model>/<version>/{SAVED_MODEL} below; run `cxr run` first, or name another folder")
    return config


def versions_in(folder: Path) -> list[int]:
    """Returns the whole versions of a model that lie in a folder, ascending; empty where there is no folder.

    Raises:
      OSError: It, or a version, may not be looked into.
    """
    if not folder.is_dir():
        return []
    numbered = ((version_of(child), child) for child in folder.iterdir())
    return sorted({version for version, child in numbered if version is not None and (child / SAVED_MODEL).is_file()})
