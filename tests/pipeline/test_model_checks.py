import pytest
from typer.testing import CliRunner

from cxr.cli.main import app
from cxr.core.errors import UsageError

pytestmark = pytest.mark.seconds


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--data is missing: configuration 'cpu' needs images"),
        (["--data", ".", "schema_file=nope.pbtxt"], "schema_file nope.pbtxt: No such file"),
        (
            ["--data", ".", "models.mobilenet.backbone=MobileNit"],
            "models.mobilenet.backbone: backbone 'MobileNit': keras.applications has no such",
        ),
        (["--data", ".", "models.mobilenet.weights=nowhere"], "models.mobilenet.weights: "),
    ],
)
def test_what_no_node_could_do_is_told_before_a_run_begins(tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    error = CliRunner().invoke(app, ["run", "--config", "cpu", "defaults.weights=none", *arguments]).exception
    assert isinstance(error, UsageError)
    assert said in str(error)
    assert not (tmp_path / "workspace").exists()
