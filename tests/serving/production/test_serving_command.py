"""`cxr serving config|promote|rollback|status` from the command line."""

import json
from pathlib import Path

import grpc
import pytest
import typer
from typer.testing import CliRunner

from cxr.cli import serving
from cxr.core.errors import CxrError, UsageError
from cxr.serving import models_config, remedies
from cxr.serving.client.errors import RequestFailed
from cxr.serving.production import config_file, model_states, overview
from cxr.serving.production.changes import Changes
from cxr.serving.production.model_states import SPECIFIC, ModelState
from cxr.serving.production.overview import states_in


def _result(*arguments: object):
    app = typer.Typer()
    serving.register(app)
    return CliRunner().invoke(app, ["serving", *map(str, arguments)])


def _cxr(*arguments: object):
    result = _result(*arguments)
    if isinstance(result.exception, CxrError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_config_promote_rollback(small_models: Path, tmp_path: Path):
    path = tmp_path / "models.config"
    assert "ensemble" in _cxr("config", small_models, "--out", path)
    with pytest.raises(CxrError, match="--force"):
        _cxr("config", small_models, "--out", path)
    arguments = ("promote", "ensemble", 1, "--label", "canary", "--config", path, "--no-server")
    output = _cxr(*arguments, "--reason", "try")
    assert "only 1, 2, canary -> 2, stable -> 2" in output
    assert "(the file only): staged" in output
    assert "stage 1 of 2" in output
    with pytest.raises(CxrError, match="--confirmed"):
        _cxr(*arguments)
    output = _cxr(*arguments, "--confirmed")
    assert "canary -> 1, stable -> 2" in output
    assert "(the file only): applied" in output
    _cxr("rollback", "ensemble", "--config", path, "--no-server")
    assert states_in(path)["ensemble"].labels == {"stable": 2, "canary": 2}


def test_the_folder_of_a_first_file_is_made_and_of_others_missed(small_models: Path, tmp_path: Path):
    path = tmp_path / "new" / "folder" / "models.config"
    for command in (("promote", "ensemble", 1), ("rollback", "ensemble")):
        with pytest.raises(UsageError, match=f"{path}: no such file, nor its folder; .* cxr serving config MODELS_DIR --out {path}"):
            _cxr(*command, "--config", path, "--no-server")
    _cxr("config", small_models, "--out", path)
    assert "ensemble" in states_in(path)
    with pytest.raises(UsageError, match="--out .*: is a folder; name a file"):
        _cxr("config", small_models, "--out", path.parent)
    with pytest.raises(UsageError, match=f"--out {path}"):
        _cxr("config", small_models, "--out", path / "below.config")


@pytest.mark.slow
def test_status_shows_labels_and_history(configured: Path, running):
    server = running(configured).server
    _cxr("promote", "ensemble", 2, "--label", "canary", "--config", configured, "--server", server, "--reason", "a better one")
    output = _cxr("status", "--config", configured, "--server", server, "--history", 5)
    for text in ("ensemble", "canary", "stable", "mobilenet", "AVAILABLE", "applied"):
        assert text in output


@pytest.mark.seconds
def test_status_says_where_a_server_is_not_as_the_file(configured: Path, labels_first):
    _, connection = labels_first(configured)
    config = models_config.read(configured)
    state = ModelState(SPECIFIC, versions=(1, 2, 9), labels={"stable": 1, "canary": 2, "trial": 1})
    model_states.write(config_file.find(config, "ensemble", configured), state)
    config_file.replace(configured, config_file.render(config))
    arguments = ("status", "--config", configured, "--server", connection.server)
    rows = {row["version"]: row for line in _cxr(*arguments, "--json").splitlines() if (row := json.loads(line))["model"] == "ensemble"}
    assert {version: (row["state"], row["labels"]) for version, row in rows.items()} == {
        9: ("not served", []),
        2: ("not served", []),
        1: ("AVAILABLE", ["canary", "stable"]),
    }
    gone = "and the server does not have it: its folder is gone, or the server has not taken the file"
    assert rows[9]["differs"] == f"models.config names it, {gone}"
    assert rows[2]["differs"] == f"models.config labels it canary, {gone}"
    assert rows[1]["differs"] == "models.config labels it trial; the server has trial on no version"
    assert "its folder is gone" in _cxr(*arguments)


@pytest.mark.seconds
def test_status_says_that_a_server_has_not_the_files_model(configured: Path, labels_first):
    server, connection = labels_first(configured)
    server.answer = lambda method, request, context: context.abort(grpc.StatusCode.NOT_FOUND, "no such model")
    said = _cxr("status", "--config", configured, "--server", connection.server, "--json")
    assert {json.loads(line)["differs"].partition(":")[0] for line in said.splitlines()} == {
        "models.config names the model, and the server does not have it"
    }
    said = _cxr("status", "--model", "other", "--config", configured, "--server", connection.server, "--json")
    assert json.loads(said)["differs"] == ""


@pytest.mark.parametrize("arguments", [("99999999999999999999",), ("--", "-7")])
def test_a_version_that_no_server_can_have_is_refused(configured: Path, arguments):
    before = sorted(configured.parent.iterdir())
    result = _result("promote", "--config", configured, "--no-server", "ensemble", *arguments)
    assert result.exit_code == 2
    assert "Invalid value for" in result.output
    assert sorted(configured.parent.iterdir()) == before  # no journal


@pytest.mark.parametrize("label", ["", " ", "a b/c", "a/b", "a:b", "a\n"])
def test_a_label_that_rest_cannot_reach_is_refused(configured: Path, label):
    before = configured.read_text()
    with pytest.raises(UsageError, match="--label"):
        _cxr("promote", "mobilenet", 7, "--label", label, "--config", configured, "--no-server")
    assert configured.read_text() == before


def test_a_new_label_is_said(configured: Path):
    arguments = ("--config", configured, "--no-server", "--confirmed")
    said = _cxr("promote", "mobilenet", 7, "--label", "stabel", *arguments)
    assert "note: stabel is a new label of mobilenet (there were: none)" in said
    assert "new label" not in _cxr("promote", "ensemble", 2, "--label", "stable", *arguments)


def test_a_server_or_none():
    with pytest.raises(CxrError, match="exclude"):
        _cxr("promote", "m", 1, "--no-server", "--server", "h:1")
    for option in (("--check", "h:1"), ("--confirmed",)):
        with pytest.raises(CxrError, match="go with --no-server"):
            _cxr("rollback", "m", *option)


def test_the_servers_of_the_environment_are_told_unless_none_is(configured: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CXR_SERVER", "nonsense")
    for command in (("promote", "mobilenet", 7), ("rollback", "mobilenet")):
        with pytest.raises(CxrError, match="'nonsense': must be HOST:PORT"):
            _cxr(*command, "--config", configured)
    assert "(the file only): applied" in _cxr("promote", "mobilenet", 7, "--config", configured, "--no-server")


@pytest.mark.seconds
def test_what_is_advised_where_a_server_does_not_take_a_change(configured: Path, labels_first):
    server, connection = labels_first(configured)
    server.stuck.set()
    with pytest.raises(CxrError, match="the new configuration did not answer in time; raise --wait"):
        _cxr("promote", "ensemble", 2, "--wait", 1, "--config", configured, "--server", connection.server)


@pytest.mark.seconds
@pytest.mark.parametrize(
    ("code", "kind"), [(grpc.StatusCode.DEADLINE_EXCEEDED, "slow"), (grpc.StatusCode.RESOURCE_EXHAUSTED, "full")], ids=["slow", "full"]
)
def test_a_server_that_does_not_answer_has_a_row_beside_the_others(configured: Path, labels_first, monkeypatch, code, kind):
    Changes(configured).promote("mobilenet", 7)
    (silent, first), (_, second) = labels_first(configured), labels_first(configured)
    silent.answer = lambda method, request, context: context.abort(code, "not now")
    monkeypatch.setattr(overview, "RPC_SECONDS", 0.5)
    servers = ("--server", first.server, "--server", "dns:///nowhere.invalid:8500", "--server", second.server)
    result = _result("status", "--config", configured, *servers, "--history", 1, "--json")
    assert result.exit_code == 1
    away, unknown, *there, change = [json.loads(line) for line in result.stdout.splitlines()]
    assert (away["server"], away["model"], away["state"]) == (first.server, "", "no answer")
    assert away["error"].endswith(f"; {getattr(remedies.ASK, kind)}")
    assert (unknown["server"], unknown["state"]) == ("dns:///nowhere.invalid:8500", "no answer")
    assert {(row["server"], row["model"]) for row in there} == {(second.server, "ensemble"), (second.server, "mobilenet")}
    assert change["model"] == "mobilenet"
    result = _result("status", "--config", configured, *servers, "--history", 1)
    assert result.exit_code == 1
    for text in (first.server, second.server, "no answer", "AVAILABLE", "promote mobilenet"):
        assert text in result.stdout


@pytest.mark.seconds
@pytest.mark.parametrize(
    ("code", "kind"), [(grpc.StatusCode.DEADLINE_EXCEEDED, "slow"), (grpc.StatusCode.RESOURCE_EXHAUSTED, "full")], ids=["slow", "full"]
)
def test_what_is_advised_where_a_server_does_not_answer(configured: Path, labels_first, code, kind):
    server, connection = labels_first(configured)
    server.answer = lambda method, request, context: context.abort(code, "not now")
    with pytest.raises(RequestFailed) as caught:
        _cxr("bench", "--timeout", 0.5, "--server", connection.server)
    assert str(caught.value).endswith(f"; {getattr(remedies.BENCH, kind)}")


def test_an_address_is_not_said_to_be_of_another_option(configured: Path):
    with pytest.raises(UsageError, match="^'nonsense': must be HOST:PORT"):
        _cxr("promote", "ensemble", 2, "--no-server", "--check", "nonsense", "--config", configured)
