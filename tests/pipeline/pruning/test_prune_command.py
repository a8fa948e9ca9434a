"""`cxr prune`, on a workspace without ML Metadata: test_artifacts.py has one."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest
from typer.testing import CliRunner

from cxr.cli.main import app
from cxr.core import exit_codes
from cxr.core.errors import CxrError, UsageError
from cxr.pipeline.pruning.keep import versions_of
from cxr.serving.client.errors import CutOff
from cxr.serving.production import config_file, model_states
from cxr.serving.production.model_states import SPECIFIC, ModelState
from cxr.trainer.state_folder import held

NOBODY = ("--server", "127.0.0.1:9")


@pytest.fixture
def prune(pushed, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cxr.serving.defaults.SERVER", NOBODY[1])
    monkeypatch.setattr("cxr.cli.prune._ASK_SECONDS", 0.2)

    def run(*arguments):
        return CliRunner().invoke(app, ["prune", *arguments])

    return run


def names(pushed):
    return [f"{folder.parent.name}/{folder.name}" for folder in versions_of(pushed)]


def test_a_dry_run_says_what_would_go_and_touches_nothing(prune, pushed):
    before, present = names(pushed), {path: path.stat().st_mtime_ns for path in pushed.root.rglob("*")}
    result = prune("cpu", "--workspace", str(pushed.root), "--keep", "1", "--dry-run")
    assert result.exit_code == exit_codes.OK, result.exception
    assert "no server answers at 127.0.0.1:9" in result.stderr
    assert "stays: mobilenet/2: later candidates are compared with it" in result.stdout
    assert "stays: mobilenet/8: the champion" in result.stdout
    assert "stays: run 20261102-1: pushed mobilenet/2" in result.stdout
    assert "goes: run 20261107-1: " in result.stdout
    assert "goes: mobilenet/7: " in result.stdout
    assert "artifacts and what nodes left stay: there is no metadata.db" in result.stdout
    assert names(pushed) == before
    assert len(list(pushed.runs.iterdir())) == 8
    assert {path: path.stat().st_mtime_ns for path in pushed.root.rglob("*")} == present  # no lock either: it may be another's to write


def test_a_server_that_is_there_and_cannot_be_asked_stops_it(prune, pushed, monkeypatch):
    """With TLS, say: a version that it has loaded would go."""
    before = names(pushed)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def hang_up():
            with contextlib.suppress(OSError):
                while True:
                    listening.accept()[0].close()

        threading.Thread(target=hang_up, daemon=True).start()
        monkeypatch.setattr("cxr.serving.defaults.SERVER", f"127.0.0.1:{listening.getsockname()[1]}")
        monkeypatch.setattr("cxr.cli.prune._ASK_SECONDS", 30)
        monkeypatch.setattr("cxr.serving.client.connection.FIRST_PAUSE", 100)  # longer than that: the first failure is told
        result = prune("cpu", "--workspace", str(pushed.root), "--keep", "1", "--yes")
        listening.shutdown(socket.SHUT_RDWR)
    assert isinstance(result.exception, CutOff)
    assert "if it uses TLS give --tls or --ca" in str(result.exception)
    assert names(pushed) == before


def test_it_asks_and_removes(prune, pushed):
    refused = prune(str(pushed.home), "--keep", "1")  # by its folder; nobody at the terminal
    assert isinstance(refused.exception, UsageError)
    assert "give --yes" in str(refused.exception)
    assert len(names(pushed)) == 10
    done = prune(str(pushed.home), "--keep", "1", "--yes")
    assert done.exit_code == exit_codes.OK, done.exception
    assert "removed 0.0 MB" in done.stdout
    assert names(pushed) == ["ensemble/88", "mobilenet/2", "mobilenet/8"]


def test_what_only_the_next_run_or_cross_validation_could_use_goes(prune, pushed, make_run):
    state = pushed.training_state / "mobilenet" / "0a1b" / "head" / "epoch-00003"
    kept, found = pushed.crossval / "features", pushed.crossval_results / "20261101-010203"
    for folder in (state, kept, found):
        folder.mkdir(parents=True)
        (folder / "variables.npz").write_text("x" * 100)
    make_run("20261109-1", record={"exit_code": exit_codes.INTERRUPTED})
    arguments = ("cpu", "--workspace", str(pushed.root), "--keep", "8", "--yes")
    with pushed.lock_crossval():
        assert "a prune, is under way" in str(prune(*arguments).exception)
        assert "a cross-validation of it is under way" in str(prune(*arguments, "--dry-run").exception)
    assert "goes: left over crossval/features: " in prune(*arguments, "--dry-run").stdout
    assert kept.exists()
    assert prune(*arguments).exit_code == exit_codes.OK
    assert (state.exists(), kept.exists(), found.exists()) == (True, False, True)  # the next run goes on from the state
    make_run("20261110-1", record={"exit_code": exit_codes.OK})
    assert "goes: left over training_state/mobilenet/0a1b: " in prune(*arguments).stdout
    assert (state.parent.parent.exists(), found.exists()) == (False, True)


def test_the_state_that_a_trainer_has_stays(prune, pushed, monkeypatch):
    """As one that outlives its run."""
    folder = pushed.training_state / "mobilenet" / "0a1b"
    (folder / "head").mkdir(parents=True)
    arguments = ("cpu", "--workspace", str(pushed.root), "--keep", "8", "--yes")
    with held(folder):
        assert "training_state" not in prune(*arguments).stdout
        assert folder.exists()
        monkeypatch.setattr("cxr.trainer.state_folder.is_held", lambda folder: False)  # when the plan was made
        assert "another process has it" in str(prune(*arguments).exception)
        assert folder.exists()
    assert "goes: left over training_state/mobilenet/0a1b: " in prune(*arguments).stdout
    assert list(folder.parent.iterdir()) == []


def test_a_models_config_in_the_workspace_keeps_its_versions(prune, pushed):
    config = config_file.first(pushed.serving_models)
    entry = config_file.find(config, "mobilenet", pushed.serving_models)
    model_states.write(entry, ModelState(SPECIFIC, versions=(4, 6), labels={"stable": 4, "canary": 6}))
    config_file.replace(pushed.root / "models.config", config_file.render(config))
    assert prune("cpu", "--workspace", str(pushed.root), "--keep", "1", "--yes").exit_code == exit_codes.OK
    assert names(pushed) == ["ensemble/88", "mobilenet/2", "mobilenet/4", "mobilenet/6", "mobilenet/8"]


def test_a_named_server_that_does_not_answer_a_run_under_way_and_a_wrong_name_stop_it(prune, pushed):
    arguments = ("cpu", "--workspace", str(pushed.root), "--keep", "1", "--yes")
    assert isinstance(prune(*arguments, *NOBODY).exception, CxrError)
    with pushed.lock():
        assert "another run of pipeline 'cpu' is under way" in str(prune(*arguments).exception)
    assert "no pipeline that has run" in str(prune("demo", "--workspace", str(pushed.root)).exception)
    assert len(names(pushed)) == 10
