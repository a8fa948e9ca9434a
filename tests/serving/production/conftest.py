"""A models.config and an embedded server that reads it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cxr.serving.client.connection import Connection
from cxr.serving.production import config_file
from cxr.serving.server.options import ServerOptions
from cxr.serving.server.process import run_server


@pytest.fixture
def configured(small_models: Path, tmp_path: Path) -> Path:
    """A models.config of the small models: ensemble pinned to 1 (stable), 2 lies there; mobilenet the latest."""
    config = config_file.ModelServerConfig()
    config_file.add(config, "ensemble", str(small_models / "ensemble"), 1)
    config.model_config_list.config.add(name="mobilenet", base_path=str(small_models / "mobilenet"), model_platform="tensorflow")
    path = tmp_path / "models.config"
    config_file.replace(path, config_file.render(config))
    return path


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Callable[[Path], Connection]]:
    """Starts a server of a models.config and connects to it."""
    with ExitStack() as stack:

        def start(path: Path) -> Connection:
            options = ServerOptions(model_config_file=path, port=0, rest_port=None, load_retries=0, start_seconds=120)
            server = stack.enter_context(run_server(options, 120, tmp_path / "server.log"))
            return stack.enter_context(Connection(server.address))

        yield start
