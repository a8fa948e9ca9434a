"""Giving a server its configuration: at the start, and again by HandleReloadConfigRequest."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from cxr.core.errors import CxrError
from cxr.serving.server.errors import ServingError, invalid
from cxr.serving.server.manager import Manager
from cxr.serving.server.served_models import ModelServerConfig, read_file, validate

RELOAD_SECONDS = 600.0  # patience for the new models of a reload
_LOCK = threading.Lock()  # one change at a time
log = logging.getLogger(__name__)


def start(manager: Manager, config: ModelServerConfig, seconds: float | None) -> None:
    """Loads the first configuration and returns when every model has an available version.

    Args:
        manager: an empty one.
        config: models, policies, labels.
        seconds: patience; None waits for ever.

    Raises:
        CxrError: the configuration is wrong, a model cannot be loaded, or a label has no version.
    """
    try:
        models = validate(config, {})
        manager.replace(models)
        manager.wait([model.name for model in models], seconds)
        manager.label(models)
    except ServingError as error:
        raise CxrError(f"models.config: {error.message}") from error


def reload(manager: Manager, config: ModelServerConfig, seconds: float = RELOAD_SECONDS) -> None:
    """Replaces the configuration: unlisted models are unloaded, new ones awaited, labels moved last.

    Args:
        manager: with a configuration.
        config: the new one, whole.
        seconds: patience for new models.

    Raises:
        ServingError: the configuration is refused (nothing changed), a new model does not load, or a label names a version that
            is not available (policies have changed then, labels of that model have not).
    """
    with _LOCK:
        current = manager.models()
        models = validate(config, current)
        manager.replace(models)
        try:
            manager.wait([model.name for model in models if model.name not in current], seconds)
        except CxrError as error:
            raise invalid(str(error)) from error
        manager.label(models)


def watch_file(manager: Manager, path: Path, applied: ModelServerConfig, pause: float, stopped: Callable[[float], bool]) -> None:
    """Applies a models.config again whenever its text changes; what cannot be applied is logged and tried at each look.

    Args:
        manager: with a configuration.
        path: the file.
        applied: what it held when it was applied last.
        pause: seconds between two looks.
        stopped: waits that long and returns whether to end (an Event's `wait`).
    """
    while not stopped(pause):
        try:
            config = read_file(path)
            if config != applied:
                reload(manager, config)
                applied = config
                log.info("%s: applied", path)
        except (CxrError, ServingError) as error:
            log.error("%s: not applied: %s", path, error)
