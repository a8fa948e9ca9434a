from pathlib import Path

import pytest

from cxr.core.errors import UsageError
from cxr.serving import models_config


def _model(folder: Path, *versions: str) -> None:
    for version in versions:
        (folder / version).mkdir(parents=True)
        (folder / version / "saved_model.pb").touch()


def test_models_of_a_folder(tmp_path: Path):
    _model(tmp_path / "ensemble", "9", "10", "1_1", "-1", "+12")
    _model(tmp_path / "notes", "final")
    (tmp_path / "pushing" / "3").mkdir(parents=True)  # no saved_model.pb: the Pusher is still at it
    (tmp_path / "champion.json").touch()
    (entry,) = models_config.from_folder(tmp_path).model_config_list.config
    assert (entry.name, entry.base_path, entry.model_platform) == ("ensemble", str(tmp_path / "ensemble"), "tensorflow")
    assert entry.model_version_policy.WhichOneof("policy_choice") is None
    assert models_config.versions_in(tmp_path / "ensemble") == [9, 10]
    (entry,) = models_config.from_folder(tmp_path, "/models/").model_config_list.config
    assert entry.base_path == "/models/ensemble"


def test_a_folder_without_models_is_named(tmp_path: Path):
    with pytest.raises(UsageError, match="below; run"):
        models_config.from_folder(tmp_path)
    with pytest.raises(UsageError, match="no such folder"):
        models_config.from_folder(tmp_path / "missing")


@pytest.mark.parametrize(
    ("text", "told"),
    [("model_config_list {\n nonsense", "not a ModelServerConfig .2:"), ("", "no model_config_list"), (None, "cannot be read")],
)
def test_bad_files_are_named(tmp_path: Path, text: str | None, told: str):
    path = tmp_path / "models.config"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=told):
        models_config.read(path)


def test_a_number_beyond_the_protocols_is_no_version(tmp_path: Path):
    for name in ("7", str(2**63 - 1), str(2**63), "20261127093015000000", "\u0663"):
        _model(tmp_path, name)
    assert models_config.versions_in(tmp_path) == [7, 2**63 - 1]
