import pytest
from typer.testing import CliRunner

from cxr.cli.main import app
from cxr.core.errors import UsageError
from cxr.pipeline.model_checks import remarks
from cxr.pipeline.pipeline_config import load, shipped

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


def test_an_augmentation_without_effect_is_remarked_on_and_no_shipped_configuration_has_one():
    assert [text for name in shipped() for text in remarks(load(name).models)] == []
    assert len(list(remarks(load("cpu", ["defaults.augmentation.rotation=5"]).models))) == 3
    assert list(remarks(load("cpu", ["defaults.augmentation={rotation: 5, variants: 1}"]).models)) == []
    assert list(remarks(load("cpu", ["defaults.augmentation.rotation=5", "defaults.fine_tuning={epochs: 1}"]).models)) == []
