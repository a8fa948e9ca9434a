"""What native libraries say while they are imported."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.seconds


@pytest.mark.parametrize(
    "script",
    [
        "from cxr.core.silence import tensorflow_silenced\nwith tensorflow_silenced():\n    import tensorflow",
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
