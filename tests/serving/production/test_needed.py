from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cxr.serving import models_config
from cxr.serving.client.connection import Connection
from cxr.serving.production import config_file, model_states, needed
from cxr.serving.production.changes import Changes
from cxr.serving.production.model_states import ALL, LATEST, SPECIFIC, ModelState

PRESENT = {"ensemble": [1, 2, 3, 4, 5]}


@pytest.mark.parametrize(
    ("state", "versions"),
    [
        (ModelState(LATEST), {5}),
        (ModelState(LATEST, count=2, labels={"stable": 2}), {2, 4, 5}),
        (ModelState(ALL), {1, 2, 3, 4, 5}),
        (ModelState(SPECIFIC, versions=(1, 3), labels={"stable": 1}), {1, 3}),
    ],
)
def test_what_a_models_config_names(tmp_path: Path, state: ModelState, versions: set[int]) -> None:
    config = models_config.ModelServerConfig()
    for name in ("ensemble", "gone"):
        entry = config.model_config_list.config.add(name=name, base_path=f"/models/{name}", model_platform="tensorflow")
        model_states.write(entry, state)
    path = tmp_path / "models.config"
    config_file.replace(path, config_file.render(config))
    assert needed.configured(path, PRESENT) == {"ensemble": versions}


def test_what_a_rollback_would_go_back_to(configured: Path) -> None:
    config = models_config.read(configured)
    model_states.write(config_file.find(config, "ensemble", configured), ModelState(LATEST, labels={"stable": 1}))
    config_file.replace(configured, config_file.render(config))
    Changes(configured).promote("ensemble", 2)
    assert needed.configured(configured, PRESENT) == {"ensemble": {1, 2, 5}}


@pytest.mark.slow
def test_what_a_running_server_has_loaded(configured: Path, running: Callable[..., Connection]) -> None:
    connection = running(configured)
    assert needed.loaded(connection, ["ensemble", "other"], 30) == {"ensemble": {1}}
