"""Giving a server its configuration: at the start, by HandleReloadConfigRequest, and from a file that changes.

The order is TensorFlow Serving's: everything is checked first, labels too, against the versions that are available at that moment.
Hence a first configuration with labels is refused unless labels may name unavailable versions, and so is one that brings a version
and its label together. Two things are better here: a change whose new models do not load leaves nothing behind, and one that waits
for its models gives way to the next (TensorFlow Serving holds a lock until they appear, for ever if need be).
"""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from cxr.core.errors import CxrError
from cxr.serving import models_config
from cxr.serving.server.errors import ServingError
from cxr.serving.server.manager import Manager
from cxr.serving.server.served_models import ModelServerConfig, validate

RELOAD_SECONDS = 600.0  # patience for the new models of a reload
REFUSED = "not applied, the former configuration goes on"
log = logging.getLogger(__name__)


def start(manager: Manager, config: ModelServerConfig, seconds: float | None, source: Path | None = None) -> None:
    """Loads the first configuration and returns when every model has an available version.

    Args:
      manager: an empty one.
      config: models, policies, labels.
      seconds: patience; None waits for ever.
      source: the file that it was read from, for errors; None: it was made of a folder.

    Raises:
      CxrError: the configuration is wrong, a model cannot be loaded, or there are labels although they need available versions.
    """
    try:
        _change(manager, config, seconds)
    except ServingError as error:
        remedy = ""
        if error.message.startswith("Request to assign label"):
            remedy = "; at the start none is: give --allow-version-labels-for-unavailable-models, as TensorFlow Serving wants it, too"
        place = "" if source is None else f"{source}: "
        raise CxrError(f"{place}{error.message}{remedy}") from error


def reload(manager: Manager, config: ModelServerConfig, seconds: float | None = None) -> None:
    """Replaces the configuration as a whole, or not at all: new models are awaited, then policies and labels change and unlisted models go.

    Args:
      manager: with a configuration.
      config: the new one, whole.
      seconds: until the client's deadline, if it has one; at most RELOAD_SECONDS are waited.

    Raises:
      ServingError: INVALID_ARGUMENT, the configuration is wrong; FAILED_PRECONDITION, a label names a version that is not
        available; UNKNOWN, a new model did not load; ABORTED, a later reload came meanwhile. Nothing has changed then.
    """
    _change(manager, config, RELOAD_SECONDS if seconds is None else min(seconds, RELOAD_SECONDS))


def _change(manager: Manager, config: ModelServerConfig, seconds: float | None) -> None:
    models = validate(config, manager.models())
    number = manager.begin(models)
    try:
        manager.wait(number, seconds)
        manager.commit(number, models)
    except BaseException:
        manager.withdraw(number)
        raise


def watch_file(manager: Manager, path: Path, pause: float, stopped: Callable[[float], bool]) -> None:
    """Applies a models.config whenever it is not what the server has; what is refused is logged and tried at each look.

    Args:
      manager: with a configuration.
      path: the file.
      pause: seconds between two looks.
      stopped: waits that long and returns whether to end (an Event's `wait`).
    """
    applying: tuple[ModelServerConfig, threading.Thread] | None = None
    while not stopped(pause):
        try:
            config = models_config.read(path)
        except CxrError as error:
            log.error("%s: %s", REFUSED, error)  # which names the file
            continue
        if applying is not None and applying[1].is_alive() and applying[0] == config:
            continue  # its new models are loading
        if {model.name: model for model in config.model_config_list.config} != manager.models():
            # A thread each: a file that changes once more takes the place of one whose models never come.
            applying = config, threading.Thread(target=_apply, args=(manager, path, config), name="reload", daemon=True)
            applying[1].start()


def _apply(manager: Manager, path: Path, config: ModelServerConfig) -> None:
    try:
        reload(manager, config)
        log.info("%s: applied", path)
    except ServingError as error:
        log.error("%s: %s: %s", REFUSED, path, error)
