"""Imports beside other work: waited for, left alone after an error, stopped where a process ends."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cxr.core import imports

pytestmark = pytest.mark.seconds

SLOW = """
import time
from pathlib import Path
Path(__file__).with_suffix(".begun").touch()
while not Path(__file__).with_suffix(".go").exists():
    time.sleep(0.01)
whole = True
"""
ENDLESS = """
import time
from pathlib import Path
Path(__file__).with_suffix(".begun").touch()
try:
    time.sleep(0.5)
except SystemExit:
    pass
while True:
    time.sleep(0.01)
"""


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """A folder that modules are imported from, and nothing else meanwhile."""
    wait()
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "slow_to_import.py").write_text(SLOW)
    (tmp_path / "never_imported.py").write_text(ENDLESS)
    yield tmp_path
    imports.stop()
    for name in ("slow_to_import", "never_imported"):
        sys.modules.pop(name, None)


def interrupted_import(folder: Path, module: str) -> None:
    with imports.imported_beside(module):
        while not (folder / f"{module}.begun").exists():
            assert importing()
        raise KeyboardInterrupt


def importing() -> list[str]:
    return [thread.name for thread in threads()]


def wait() -> None:
    for thread in threads():
        thread.join()


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("import ")]


def test_an_import_is_waited_for(modules):
    with imports.imported_beside("slow_to_import"):
        assert importing() == ["import slow_to_import"]
        threading.Timer(0.2, (modules / "slow_to_import.go").touch).start()
    assert importing() == []
    assert sys.modules["slow_to_import"].whole


def test_an_import_that_fails_is_whoevers_who_needs_it(modules):
    with imports.imported_beside("no_such_module"):
        pass
    assert "no_such_module" not in sys.modules


def test_after_an_error_an_import_goes_on(modules):
    """In a notebook the same process runs again, and half a TensorFlow cannot be imported a second time."""
    with pytest.raises(KeyboardInterrupt):
        interrupted_import(modules, "slow_to_import")
    (modules / "slow_to_import.go").touch()
    wait()
    assert sys.modules["slow_to_import"].whole


def test_an_import_is_stopped_even_if_it_goes_on_the_first_time(modules):
    with pytest.raises(KeyboardInterrupt):
        interrupted_import(modules, "never_imported")
    assert importing() == ["import never_imported"]
    imports.stop()
    assert importing() == []
    assert "never_imported" not in sys.modules


def test_a_command_that_is_interrupted_does_not_wait_for_an_import(modules):
    """The import never ends: without being stopped, the command would not either."""
    script = """
import cxr.cli.main as command
from cxr.core.imports import imported_beside
def interrupted():
    with imported_beside("never_imported"):
        raise SystemExit(130)
command.app = interrupted
command.main()
"""
    ended = subprocess.run([sys.executable, "-c", script], cwd=modules, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (130, "interrupted\n")
