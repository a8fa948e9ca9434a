import errno
import fcntl
import multiprocessing
import os
from pathlib import Path

import pytest

from cxr.core.errors import CxrError
from cxr.serving import models_config
from cxr.serving.production import config_file, model_states
from cxr.serving.production.model_states import ALL, LATEST, SPECIFIC, ModelState

STATES = [
    ModelState(),
    ModelState(LATEST, 2, labels={"stable": 3}),
    ModelState(ALL),
    ModelState(SPECIFIC, versions=(1, 1790000000), labels={"stable": 1, "canary": 1790000000}),
]


def _model(folder: Path, *versions: int) -> None:
    for version in versions:
        (folder / str(version)).mkdir(parents=True)
        (folder / str(version) / "saved_model.pb").touch()


@pytest.mark.parametrize("state", STATES, ids=str)
def test_states_survive_the_file(state: ModelState, tmp_path: Path):
    config = models_config.ModelServerConfig()
    model_states.write(config.model_config_list.config.add(name="m", base_path="/models/m"), state)
    again = models_config.parse(config_file.render(config), tmp_path)
    assert model_states.read(config_file.find(again, "m", tmp_path)) == state


def test_no_policy_means_the_latest(tmp_path: Path):
    text = 'model_config_list { config { name: "m" base_path: "/m" model_platform: "tensorflow" } }'
    assert model_states.read(config_file.find(models_config.parse(text, tmp_path), "m", tmp_path)) == ModelState(LATEST, 1)


def test_a_moved_label_keeps_the_version_it_left():
    state = ModelState(SPECIFIC, versions=(1, 2, 3), labels={"stable": 2, "canary": 3})
    assert state.with_label("stable", 3) == ModelState(SPECIFIC, versions=(2, 3), labels={"stable": 3, "canary": 3})
    latest = ModelState(LATEST, 2, labels={"stable": 1})
    assert latest.with_label("stable", 2) == ModelState(LATEST, 2, labels={"stable": 2})
    assert latest.with_label("stable", 2, pin=True) == ModelState(SPECIFIC, versions=(1, 2), labels={"stable": 2})


def test_first_configuration_of_a_folder(tmp_path: Path):
    _model(tmp_path / "ensemble", 9, 10)
    _model(tmp_path / "mobilenet", 3)
    (tmp_path / "mobilenet" / "4").mkdir()  # no saved_model.pb: the Pusher is still at it
    (tmp_path / "empty").mkdir()
    config = config_file.first(tmp_path, "/models/")
    entries = {entry.name: (entry.base_path, model_states.read(entry)) for entry in config.model_config_list.config}
    assert entries == {
        "ensemble": ("/models/ensemble", ModelState(SPECIFIC, versions=(10,), labels={"stable": 10, "canary": 10})),
        "mobilenet": ("/models/mobilenet", ModelState(SPECIFIC, versions=(3,), labels={"stable": 3, "canary": 3})),
    }
    with pytest.raises(CxrError, match="saved_model.pb"):
        config_file.first(tmp_path / "empty")


def test_replacing_keeps_mode_and_link_and_leaves_nothing_behind(tmp_path: Path):
    real, link = tmp_path / "real.config", tmp_path / "models.config"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    config_file.replace(link, "new")
    assert (real.read_text(), link.is_symlink(), real.stat().st_mode & 0o777) == ("new", True, 0o640)
    config_file.replace(tmp_path / "fresh", "x")
    assert (tmp_path / "fresh").stat().st_mode & 0o777 == 0o644
    assert sorted(os.listdir(tmp_path)) == ["fresh", "models.config", "real.config"]


def test_a_failed_write_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "models.config"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        config_file.replace(path, "new")
    assert (path.read_text(), os.listdir(tmp_path)) == ("old", ["models.config"])


def _hold(path: Path, holding, done) -> None:
    with config_file.locked(path):
        holding.set()
        done.wait(60)


def test_one_change_at_a_time_and_a_dead_one_holds_nothing(tmp_path: Path):
    path = tmp_path / "models.config"
    context = multiprocessing.get_context("spawn")
    holding, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(path, holding, done))
    other.start()
    try:
        assert holding.wait(60)
        with pytest.raises(CxrError, match="another promotion"), config_file.locked(path, 0.2):
            pass
    finally:
        other.kill()
        other.join(30)
    with config_file.locked(path, 5):
        pass


def test_a_volume_without_locks_is_told(tmp_path: Path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (
        pytest.raises(CxrError, match=r"models\.config\.lock: the volume has no file locks"),
        config_file.locked(tmp_path / "models.config"),
    ):
        pass
