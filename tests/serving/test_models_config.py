import errno
import os
from collections.abc import Callable
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


def test_a_folder_that_may_not_be_looked_into_stops_no_other_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog):
    _model(tmp_path / "ensemble", "1")
    _model(tmp_path / "mobilenet", "1", "2")
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "mobilenet" / "notes").mkdir()
    closed = {tmp_path / "lost+found", *(tmp_path / "mobilenet" / name / "saved_model.pb" for name in ("2", "notes"))}

    def checked(call: Callable[..., object]) -> Callable[..., object]:
        def as_another_user(path: Path, **how: bool) -> object:
            if path in closed:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return call(path, **how)

        return as_another_user

    monkeypatch.setattr(Path, "iterdir", checked(Path.iterdir))
    monkeypatch.setattr(Path, "is_file", checked(Path.is_file))
    (entry,) = models_config.from_folder(tmp_path).model_config_list.config
    assert entry.name == "ensemble"
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / name}: is not served, it cannot be looked into (Permission denied); have the permission given"
        for name in ("lost+found", "mobilenet")
    ]


def test_a_folder_that_no_client_could_name_stops_no_other_model(tmp_path: Path, caplog):
    _model(tmp_path / "ensemble", "1")
    _model(tmp_path / os.fsdecode(b"mobilenet\xff"), "1")
    (entry,) = models_config.from_folder(tmp_path).model_config_list.config
    assert entry.name == "ensemble"
    (record,) = caplog.records
    assert r"mobilenet\udcff: is not served, its path is no UTF-8" in record.getMessage()
