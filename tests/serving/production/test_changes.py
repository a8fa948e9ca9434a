"""Promotions and rollbacks on a real embedded server."""

import shutil
import threading
from pathlib import Path

import pytest

from cxr.core.errors import CxrError
from cxr.serving.client.client import Client
from cxr.serving.client.connection import Connection
from cxr.serving.client.errors import RequestFailed, ServerUnavailable
from cxr.serving.client.predictions import Prediction
from cxr.serving.production import config_file
from cxr.serving.production.changes import Changes
from cxr.serving.production.journal import APPLIED, REFUSED, Journal
from cxr.serving.production.model_states import LATEST, SPECIFIC, ModelState
from cxr.serving.production.overview import overview, states_in

PINNED_1 = ModelState(SPECIFIC, versions=(1,), labels={"stable": 1, "canary": 1})


def _stable(server: str, png) -> int:
    with Client(server, label="stable") as client:
        (answer,) = client.predict_bytes([("x", png(10))])
    assert isinstance(answer, Prediction)
    return answer.version


@pytest.mark.slow
def test_promotion_and_rollback_lose_no_request(configured: Path, running, png):
    connection = running(configured)
    changes, stop, failures, versions = Changes(configured, [connection]), threading.Event(), [], set()

    def ask_all_the_time():
        with Client(connection.server, label="stable", timeout=30) as client:
            while not stop.is_set():
                for answer in client.predict_bytes([("x", png(10))]):
                    versions.add(answer.version) if isinstance(answer, Prediction) else failures.append(answer)

    thread = threading.Thread(target=ask_all_the_time)
    thread.start()
    try:
        done = changes.promote("ensemble", 2, reason="better")
        assert _stable(connection.server, png) == 2
        assert done.entry.after == ModelState(SPECIFIC, versions=(1, 2), labels={"stable": 2, "canary": 1})
        assert states_in(configured)["ensemble"] == done.entry.after
        changes.rollback("ensemble", reason="worse")
        assert _stable(connection.server, png) == 1
    finally:
        stop.set()
        thread.join(60)
    assert (failures, versions) == ([], {1, 2})
    assert states_in(configured)["ensemble"] == PINNED_1
    entries = Journal(configured).entries()
    assert [(e.action, e.reason, e.outcome, e.undoes) for e in entries] == [
        ("promote", "better", APPLIED, None),
        ("rollback", "worse", APPLIED, 1),
    ]
    assert entries[0].servers == (connection.server,)
    with pytest.raises(CxrError, match="no change of ensemble"):
        changes.rollback("ensemble")


@pytest.mark.slow
def test_the_label_moves_and_the_old_version_goes_when_nothing_points_to_it(configured: Path, running, png):
    connection = running(configured)
    changes = Changes(configured, [connection])
    changes.promote("ensemble", 2, "canary")
    rows = {
        row.version: row
        for row in overview(connection, ["ensemble", "mobilenet", "nope"], states_in(configured))
        if row.model == "ensemble"
    }
    assert (rows[1].labels, rows[2].labels) == (("stable",), ("canary",))
    changes.promote("ensemble", 2, "stable")
    assert states_in(configured)["ensemble"] == ModelState(SPECIFIC, versions=(1, 2), labels={"stable": 2, "canary": 2})
    assert changes.promote("ensemble", 2, "stable").entry.after.versions == (2,)  # again: lets go of the version kept for a rollback
    with Connection(connection.server) as other:
        assert [row.version for row in overview(other, ["ensemble"], {}) if row.state == "AVAILABLE"] == [2]
    with pytest.raises(CxrError, match="already"):
        changes.promote("ensemble", 2, "stable")


@pytest.mark.slow
def test_a_broken_version_leaves_everything_as_it_was(configured: Path, running, png, small_models: Path, tmp_path: Path):
    models = tmp_path / "models"
    shutil.copytree(small_models / "ensemble", models / "ensemble")
    (models / "ensemble" / "3").mkdir()
    (models / "ensemble" / "3" / "saved_model.pb").write_bytes(b"broken")
    configured.write_text(configured.read_text().replace(str(small_models), str(models), 1))
    before = configured.read_text()
    # mobilenet stays where it was
    connection = running(configured)
    changes = Changes(configured, [connection], wait=30)
    with pytest.raises(CxrError, match="version 3 of ensemble does not load"):
        changes.promote("ensemble", 3)
    assert configured.read_text() == before
    assert _stable(connection.server, png) == 1
    (entry,) = Journal(configured).entries()
    assert entry.outcome == REFUSED
    assert "does not load" in entry.error
    with pytest.raises(CxrError, match="no version 9"):
        changes.promote("ensemble", 9)
    assert len(Journal(configured).entries()) == 1  # nothing was tried


@pytest.mark.slow
def test_latest_needs_a_pin_for_a_version_it_does_not_serve(configured: Path, running, png, small_models: Path):
    text = config_file.read(configured)
    entry = config_file.find(text, "ensemble", configured)
    entry.ClearField("model_version_policy")
    entry.ClearField("version_labels")
    config_file.replace(configured, config_file.render(text))
    connection = running(configured)
    changes = Changes(configured, [connection])
    done = changes.promote("ensemble", 2)
    assert done.entry.after == ModelState(LATEST, 1, labels={"stable": 2})
    assert "--pin" in done.notes[0]
    with pytest.raises(CxrError, match="--pin"):
        changes.promote("ensemble", 1)
    assert changes.promote("ensemble", 1, pin=True).entry.after == ModelState(SPECIFIC, versions=(1, 2), labels={"stable": 1})
    assert _stable(connection.server, png) == 1
    assert changes.rollback("ensemble").entry.after == done.entry.after
    assert _stable(connection.server, png) == 2


def test_without_a_server_only_the_file_changes(configured: Path, png):
    changes = Changes(configured)
    changes.promote("ensemble", 2)
    assert states_in(configured)["ensemble"].labels["stable"] == 2
    with pytest.raises(CxrError, match="no version 9"):
        changes.promote("ensemble", 9)
    with pytest.raises(CxrError, match="has no model 'nope'"):
        changes.promote("nope", 1)


def test_a_server_that_is_gone_changes_nothing(configured: Path):
    before = configured.read_text()
    with Connection("127.0.0.1:1") as nobody, pytest.raises(ServerUnavailable):
        Changes(configured, [nobody], wait=1).promote("ensemble", 2)
    assert configured.read_text() == before


@pytest.mark.slow
def test_one_of_two_servers_refuses(configured: Path, running, png, monkeypatch: pytest.MonkeyPatch):
    from cxr.serving.production import changes as module

    connection, before = running(configured), configured.read_text()
    real, told = module.reload_config, []

    def reload_config(server, config, timeout):
        told.append(server)
        if len(told) == 4:  # the labels' turn, at the second server
            raise RequestFailed("refused")
        real(server, config, timeout)

    monkeypatch.setattr(module, "reload_config", reload_config)
    with pytest.raises(RequestFailed, match="refused"):
        Changes(configured, [connection, connection]).promote("ensemble", 2)
    assert configured.read_text() == before
    assert _stable(connection.server, png) == 1


def test_a_rollback_does_not_overwrite_what_was_edited_by_hand(configured: Path):
    changes = Changes(configured)
    changes.promote("ensemble", 2)
    configured.write_text(configured.read_text().replace('key: "stable"', 'key: "mine"'))
    with pytest.raises(CxrError, match="edited since change 1"):
        changes.rollback("ensemble")
