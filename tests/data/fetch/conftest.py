import io

import pytest
from rich.console import Console

from cxr.data.fetch.download import Downloader
from cxr.data.fetch.lock_file import LOCK, LockFile

from .bad_server import BadServer


@pytest.fixture
def server():
    server = BadServer()
    yield server
    server.close()


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=300)


@pytest.fixture
def waits():
    """Seconds that the downloader wanted to wait."""
    return []


@pytest.fixture
def downloader(tmp_path, console, waits):
    def make():
        (tmp_path / "downloads").mkdir(exist_ok=True)
        return Downloader(tmp_path / "downloads", LockFile(tmp_path / LOCK), console, waits.append)

    return make
