"""What native libraries say while they are imported."""

import gc
import subprocess
import sys

import pytest

from cxr.core.silence import tensorflow_starting

pytestmark = pytest.mark.seconds


@pytest.mark.parametrize(
    "script",
    [
        "from cxr.core.silence import tensorflow_starting\nwith tensorflow_starting():\n    import tensorflow",
        "from pathlib import Path\n"
        "from cxr.serving.server.main import serve\nfrom cxr.serving.server.options import ServerOptions\n"
        "serve(ServerOptions(models_dir=Path('gone'), host='192.0.2.1'))",  # ends before it listens, an address of no machine
    ],
    ids=["commands", "serve"],
)
def test_tensorflow_does_not_greet(script, tmp_path):
    """Its lines would tear a progress bar; TF_CPP_MIN_LOG_LEVEL does not keep them away."""
    (tmp_path / "gone").mkdir()
    said = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=100).stderr
    assert "oneDNN" not in said
    assert "absl::InitializeLog" not in said


def test_python_does_not_look_for_garbage_while_tensorflow_comes():
    """A tenth of the import's time (docs/performance.md)."""
    with tensorflow_starting():
        assert not gc.isenabled()
    assert gc.isenabled()
