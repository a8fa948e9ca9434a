"""Promotions and rollbacks on a real embedded server."""

import shutil
import threading
import time
from pathlib import Path

import pytest

from cxr.core.errors import CxrError
from cxr.serving import models_config
from cxr.serving.client.client import Client
from cxr.serving.client.connection import Connection
from cxr.serving.client.errors import RequestFailed, ServerUnavailable
from cxr.serving.client.models import VersionStatus
from cxr.serving.client.predictions import Prediction
from cxr.serving.production import config_file, model_states, rollout
from cxr.serving.production.changes import Changes
from cxr.serving.production.journal import APPLIED, REFUSED, STAGED, UNVERIFIED, Journal
from cxr.serving.production.model_states import LATEST, SPECIFIC, ModelState
from cxr.serving.production.overview import overview, states_in

pytestmark = pytest.mark.seconds

PINNED_1 = ModelState(SPECIFIC, versions=(1,), labels={"stable": 1, "canary": 1})


def _stable(server: str, png) -> int:
    with Client(server, label="stable") as client:
        (answer,) = client.predict_bytes([("x", png(10))])
    assert isinstance(answer, Prediction)
    return answer.version


def _wait_for_stable(server: str, png, version: int) -> None:
    deadline = time.monotonic() + 60
    while _stable(server, png) != version:
        assert time.monotonic() < deadline, f"stable is not {version}"
        time.sleep(0.1)


@pytest.mark.slow
def test_promotion_and_rollback_lose_no_request(configured: Path, running, png):
    connection = running(configured, apart=True)
    changes, stop, failures, versions = Changes(configured, [connection]), threading.Event(), [], set()

    def ask_all_the_time():
        with Client(connection.server, label="stable", timeout=30) as client:
            while not stop.is_set():
                for answer in client.predict_bytes([("x", png(10))]):
                    versions.add(answer.version) if isinstance(answer, Prediction) else failures.append(answer)

    def until_answered_by(version: int) -> None:
        deadline = time.monotonic() + 60
        while version not in versions and not failures:
            assert time.monotonic() < deadline, f"no answer of version {version}"
            time.sleep(0.01)

    thread = threading.Thread(target=ask_all_the_time)
    thread.start()
    try:
        until_answered_by(1)
        done = changes.promote("ensemble", 2, reason="better")
        assert _stable(connection.server, png) == 2
        assert done.entry.after == ModelState(SPECIFIC, versions=(1, 2), labels={"stable": 2, "canary": 1})
        assert states_in(configured)["ensemble"] == done.entry.after
        until_answered_by(2)
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
def test_a_file_that_names_a_broken_version_is_left_again(configured: Path, running, png, small_models: Path, tmp_path: Path):
    """It was changed with --no-server, and nobody looked."""
    models = tmp_path / "models"
    shutil.copytree(small_models / "ensemble", models / "ensemble")
    (models / "ensemble" / "3").mkdir()
    (models / "ensemble" / "3" / "saved_model.pb").write_bytes(b"broken")
    configured.write_text(configured.read_text().replace(str(small_models), str(models), 1))
    connection = running(configured)
    _file_only(configured, 3)
    before, changes = configured.read_text(), Changes(configured, [connection], wait=30)
    with pytest.raises(CxrError, match="version 3 of ensemble does not load"):
        changes.promote("ensemble", 3)  # tells the server what the file says already
    assert (configured.read_text(), Journal(configured).entries()[-1].outcome) == (before, REFUSED)
    assert _stable(connection.server, png) == 1
    done = changes.promote("ensemble", 2)
    assert done.entry.after == ModelState(SPECIFIC, versions=(1, 2), labels={"stable": 2, "canary": 1})  # 3 is not kept for a rollback
    assert _stable(connection.server, png) == 2


@pytest.mark.slow
@pytest.mark.parametrize("others", [{}, {"trial": 2}], ids=["alone", "with another label"])
def test_a_label_leaves_a_version_whose_folder_is_gone(configured: Path, running, small_models: Path, tmp_path: Path, others):
    models = tmp_path / "models"
    shutil.copytree(small_models / "ensemble", models / "ensemble")
    shutil.copytree(models / "ensemble" / "1", models / "ensemble" / "3")
    config = models_config.parse(configured.read_text().replace(str(small_models), str(models), 1), configured)
    model_states.write(
        config_file.find(config, "ensemble", configured), ModelState(SPECIFIC, versions=(1, 2), labels={"stable": 1, "canary": 2, **others})
    )
    config_file.replace(configured, config_file.render(config))
    connection = running(configured, poll_seconds=0.1)
    shutil.rmtree(models / "ensemble" / "2")
    deadline = time.monotonic() + 60
    while rollout.gone([connection], "ensemble", {1, 2}, 30) != {2} and time.monotonic() < deadline:
        time.sleep(0.05)
    lost = next(row for row in overview(connection, ["ensemble"], states_in(configured)) if row.version == 2)
    assert (lost.state, lost.labels) == ("END", ())
    assert "its folder is gone" in lost.differs
    done = Changes(configured, [connection], wait=30).promote("ensemble", 3, "canary")
    assert done.entry.outcome == APPLIED
    labels, versions = {"stable": 1, "canary": 3, **others}, {1, 3, *others.values()}
    assert states_in(configured)["ensemble"] == ModelState(SPECIFIC, versions=tuple(sorted(versions)), labels=labels)
    assert rollout.difference(connection, "ensemble", ModelState(SPECIFIC, versions=(1, 3), labels={"stable": 1, "canary": 3}), 30) == ""


@pytest.mark.slow
def test_latest_needs_a_pin_for_a_version_it_does_not_serve(configured: Path, running, png, small_models: Path):
    text = models_config.read(configured)
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


def test_a_remedy_is_a_command_that_has_it():
    """A rollback, which has no --pin, needs it as well as a promotion."""
    after = ModelState(LATEST, labels={"stable": 2, "canary": 1})
    with pytest.raises(CxrError, match="cxr serving promote m 1 --label canary --pin"):
        rollout.check_loaded([ModelState(SPECIFIC, versions=(2,))], "m", after)
    rollout.check_loaded([ModelState(SPECIFIC, versions=(1, 2))], "m", after)


BOTH_OLD = ModelState(SPECIFIC, versions=(1, 2), labels={"stable": 1, "canary": 1})
BOTH_NEW = ModelState(SPECIFIC, versions=(1, 2), labels={"stable": 2, "canary": 1})


def test_a_published_file_brings_versions_first_and_labels_once_confirmed(configured: Path):
    changes = Changes(configured)
    staged = changes.promote("ensemble", 2, reason="better")
    assert (staged.entry.outcome, staged.entry.reached) == (STAGED, BOTH_OLD)
    assert "stage 1 of 2" in staged.notes[0]
    assert states_in(configured)["ensemble"] == BOTH_OLD
    for _ in range(2):
        with pytest.raises(CxrError, match="--check HOST:PORT"):
            changes.promote("ensemble", 2)
    with pytest.raises(CxrError, match="--check HOST:PORT"):
        changes.promote("ensemble", 2, "canary")  # another change to the same version
    assert states_in(configured)["ensemble"] == BOTH_OLD

    done = Changes(configured, confirmed=True).promote("ensemble", 2)
    assert (done.entry.id, done.entry.outcome, done.entry.reason) == (1, APPLIED, "better")
    assert states_in(configured)["ensemble"] == BOTH_NEW
    assert [(entry.id, entry.outcome) for entry in Journal(configured).entries()] == [(1, APPLIED)]

    assert changes.rollback("ensemble").entry.outcome == APPLIED  # version 1 stayed loaded: one file
    assert states_in(configured)["ensemble"] == PINNED_1


def test_a_version_that_goes_is_noted_when_it_goes(configured: Path):
    """One that somebody asks for by its number, say: served without a label."""
    text = configured.read_text()
    configured.write_text(text.replace("versions: 1", "versions: 1 versions: 9", 1))
    said = "version 9 of ensemble is no longer served: no label names it"
    assert said not in Changes(configured).promote("ensemble", 2).notes  # stage 1 of 2
    assert said in Changes(configured, confirmed=True).promote("ensemble", 2).notes
    assert states_in(configured)["ensemble"] == BOTH_NEW
    assert not any("no longer served" in note for note in Changes(configured).promote("ensemble", 1).notes)  # 2 is kept for a rollback


def test_a_staged_change_is_taken_back(configured: Path):
    changes = Changes(configured)
    changes.promote("ensemble", 2)
    entry = changes.rollback("ensemble").entry
    assert (entry.undoes, entry.outcome) == (1, APPLIED)
    assert states_in(configured)["ensemble"] == PINNED_1
    with pytest.raises(CxrError, match="no change of ensemble"):
        changes.rollback("ensemble")


def test_a_rollback_to_an_unloaded_version_takes_two_files_too(configured: Path):
    changes, sure = Changes(configured), Changes(configured, confirmed=True)
    for label in ("stable", "canary"):
        changes.promote("ensemble", 2, label)
        sure.promote("ensemble", 2, label) if label == "stable" else None
    changes.promote("ensemble", 2)  # again: lets go of version 1
    assert states_in(configured)["ensemble"].versions == (2,)
    assert changes.rollback("ensemble").entry.outcome == STAGED
    with pytest.raises(CxrError, match="--check HOST:PORT"):
        changes.rollback("ensemble")
    assert sure.rollback("ensemble").entry.outcome == APPLIED
    assert states_in(configured)["ensemble"].versions == (1, 2)
    assert changes.rollback("ensemble").entry.undoes == 2  # the one before


def test_a_change_interrupted_between_versions_and_labels_needs_the_confirmation(configured: Path, monkeypatch: pytest.MonkeyPatch):
    def crash(self, entry):
        if entry.outcome == STAGED:
            raise KeyboardInterrupt
        append(self, entry)

    append = Journal.append
    with monkeypatch.context() as patched:
        patched.setattr(Journal, "append", crash)
        with pytest.raises(KeyboardInterrupt):
            Changes(configured).promote("ensemble", 2)
    assert states_in(configured)["ensemble"] == BOTH_OLD
    with pytest.raises(CxrError, match="--check HOST:PORT"):
        Changes(configured).promote("ensemble", 2)
    assert Changes(configured).rollback("ensemble").entry.after == PINNED_1


def test_pinning_in_a_published_file_loads_before_it_labels(configured: Path):
    text = models_config.read(configured)
    entry = config_file.find(text, "ensemble", configured)
    entry.ClearField("model_version_policy")
    config_file.replace(configured, config_file.render(text))
    staged = Changes(configured).promote("ensemble", 2, pin=True)
    assert staged.entry.outcome == STAGED
    assert staged.notes[-1] == "--pin: only version 1, 2 of ensemble is served from now on"
    assert states_in(configured)["ensemble"] == BOTH_OLD
    Changes(configured, confirmed=True).promote("ensemble", 2)
    assert states_in(configured)["ensemble"] == BOTH_NEW


def test_no_published_file_is_refused_by_tensorflow_servings_order(configured: Path, labels_first):
    server, connection = labels_first(configured)
    in_one_file = models_config.read(configured)
    model_states.write(config_file.find(in_one_file, "ensemble", configured), BOTH_NEW)
    assert not server.apply(in_one_file)  # what `--no-server` wrote before

    changes = Changes(configured, published_to=[connection], wait=1)
    assert changes.promote("ensemble", 2).entry.outcome == STAGED
    with pytest.raises(CxrError, match="finds no version 2 of ensemble"):
        changes.promote("ensemble", 2)  # not published yet
    assert server.apply(models_config.read(configured))
    assert changes.promote("ensemble", 2).entry.servers == (connection.server,)
    assert server.apply(models_config.read(configured))
    assert server.state("ensemble") == BOTH_NEW
    changes.rollback("ensemble")
    assert server.apply(models_config.read(configured))
    assert server.state("ensemble") == PINNED_1


def test_told_servers_are_never_refused_by_that_order(configured: Path, labels_first):
    server, connection = labels_first(configured)
    changes = Changes(configured, [connection], wait=1)
    changes.promote("ensemble", 2)
    assert (server.state("ensemble"), server.refused) == (BOTH_NEW, [])
    changes.rollback("ensemble")
    assert (server.state("ensemble"), server.refused) == (PINNED_1, [])


def _file_only(path: Path, version: int) -> None:
    for _ in range(2):
        Changes(path, confirmed=True).promote("ensemble", version)


def test_a_server_is_told_what_the_file_says_already(configured: Path, labels_first):
    """It was changed with --no-server; servers compare labels with what is loaded, so that they take it in steps."""
    server, connection = labels_first(configured)
    _file_only(configured, 2)
    before = configured.read_text()
    changes = Changes(configured, [connection], wait=1)
    done = changes.promote("ensemble", 2)
    assert (server.state("ensemble"), server.refused) == (BOTH_NEW, [])
    assert (configured.read_text(), done.entry.outcome, done.entry.servers) == (before, APPLIED, (connection.server,))
    assert f"{configured} said so already; before this change: {connection.server}: version 2 is not available" in done.notes
    with pytest.raises(CxrError, match="stable is version 2 already, in the file and on every server"):
        changes.promote("ensemble", 2)
    changes.rollback("ensemble")  # the change of the file
    assert (server.state("ensemble"), states_in(configured)["ensemble"]) == (PINNED_1, PINNED_1)


def test_a_server_behind_the_file_keeps_its_labels_through_another_change(configured: Path, labels_first):
    server, connection = labels_first(configured)
    _file_only(configured, 2)
    take, stable = server.apply, []

    def watch(config):
        taken = take(config)
        stable.append(server.state("ensemble").labels.get("stable"))
        return taken

    server.apply = watch
    Changes(configured, [connection], wait=1).promote("ensemble", 2, "canary")
    assert server.state("ensemble").labels == {"stable": 2, "canary": 2}
    assert (stable, server.refused) == ([1, 2, 2], [])


def _refuse_the_labels(server):
    """The second thing that a server is told."""
    take, calls = server.apply, []

    def refuse_the_second(config):
        calls.append(config)
        server.refused.append("busy")
        return take(config) if len(calls) != 2 else False

    server.apply = refuse_the_second


def test_a_server_behind_the_file_gets_back_what_it_had(configured: Path, labels_first):
    server, connection = labels_first(configured)
    _file_only(configured, 2)
    before = configured.read_text()
    _refuse_the_labels(server)
    with pytest.raises(RequestFailed, match="busy"):
        Changes(configured, [connection], wait=5).promote("ensemble", 2)
    assert (server.state("ensemble"), configured.read_text()) == (PINNED_1, before)
    assert Journal(configured).entries()[-1].outcome == REFUSED


@pytest.mark.slow
def test_a_server_that_polls_the_file_follows_both_stages(configured: Path, running, png):
    connection = running(configured, model_config_file_poll_seconds=0.2)
    changes = Changes(configured, wait=60, published_to=[connection])
    changes.promote("ensemble", 2)
    assert _stable(connection.server, png) == 1
    changes.promote("ensemble", 2)
    _wait_for_stable(connection.server, png, 2)
    changes.rollback("ensemble")
    _wait_for_stable(connection.server, png, 1)


def test_a_server_that_cannot_be_restored_is_not_called_refused(configured: Path, labels_first):
    before = configured.read_text()
    (server, connection), (stuck, other) = labels_first(configured), labels_first(configured)
    take = stuck.apply

    def take_versions_then_hang(config):  # as a model of the file that never appears does to every later reload
        taken = take(config)
        stuck.stuck.set()
        return taken

    stuck.apply = take_versions_then_hang
    changes = Changes(configured, [connection, other], wait=1)
    with pytest.raises(CxrError, match=f"not every server is known to be: {other.server}"):
        changes.promote("ensemble", 2)
    assert configured.read_text() == before
    assert server.state("ensemble") == PINNED_1  # the one that could be restored
    (entry,) = Journal(configured).entries()
    assert entry.outcome == UNVERIFIED
    assert other.server in entry.error
    assert connection.server not in entry.error


def test_a_server_that_is_restored_late_is_refused_only(configured: Path, labels_first):
    server, connection = labels_first(configured)
    take, calls = server.apply, []

    def busy_for_a_while(config):
        calls.append(config)
        return take(config) if len(calls) not in (2, 3, 4) else False

    server.apply = busy_for_a_while
    server.refused.append("busy")
    with pytest.raises(RequestFailed, match="busy"):
        Changes(configured, [connection], wait=30).promote("ensemble", 2)
    assert server.state("ensemble") == PINNED_1
    assert [entry.outcome for entry in Journal(configured).entries()] == [REFUSED]


def test_a_server_that_reads_another_file_is_found_out(configured: Path, labels_first):
    server, connection = labels_first(configured)
    take = server.apply

    def undo(config):  # its own file, polled, says something else
        taken = take(config)
        server.state("ensemble").labels["stable"] = 1
        return taken

    server.apply = undo
    with pytest.raises(CxrError, match="label stable is version 1, not version 2; does it read another models.config"):
        Changes(configured, [connection], wait=1).promote("ensemble", 2)


def test_versions_and_models_that_are_not_there_are_named(configured: Path):
    changes = Changes(configured)
    with pytest.raises(CxrError, match="no version 9"):
        changes.promote("ensemble", 9)
    with pytest.raises(CxrError, match="has no model 'nope'"):
        changes.promote("nope", 1)


@pytest.mark.parametrize(
    ("error", "said"), [("disk gone", r"does not load \(LOADING again after 9 s\): disk gone"), ("", r"\(LOADING\); raise --wait")]
)
def test_the_reason_of_a_load_that_is_tried_again_is_said(error, said):
    states = {2: VersionStatus(2, "LOADING", error)}
    with pytest.raises(CxrError, match=said) as caught:
        rollout._check_pending("h:1", "m", 2, states, waited=9, seconds=8, unknown=10)
    assert ("--wait" in str(caught.value)) == (error == "")


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
    changes = Changes(configured, confirmed=True)
    changes.promote("ensemble", 2)
    changes.promote("ensemble", 2)
    configured.write_text(configured.read_text().replace('key: "stable"', 'key: "mine"'))
    with pytest.raises(CxrError, match="edited since change 1"):
        changes.rollback("ensemble")


# === Models that a change is not about ===

MOBILENET_7 = ModelState(SPECIFIC, versions=(7,), labels={"stable": 7})
MOBILENET_8 = ModelState(SPECIFIC, versions=(7, 8), labels={"stable": 8})


def _edit(path: Path, model: str, state: ModelState | None) -> None:
    """Changes the file by hand: adds a model, gives it a state, or removes it."""
    config = models_config.read(path)
    entries = config.model_config_list.config
    found = next((entry for entry in entries if entry.name == model), None)
    if state is None:
        entries.remove(found)
    else:
        model_states.write(found or entries.add(name=model, base_path=f"/models/{model}", model_platform="tensorflow"), state)
    config_file.replace(path, config_file.render(config))


def test_a_server_that_is_behind_in_two_models_takes_them_one_by_one(configured: Path, labels_first):
    """Each was changed with --no-server. The file of both would be refused: it brings versions with their labels."""
    _edit(configured, "mobilenet", MOBILENET_7)
    server, connection = labels_first(configured)
    _edit(configured, "mobilenet", MOBILENET_8)
    _file_only(configured, 2)
    changes = Changes(configured, [connection], wait=1)
    notes = changes.promote("ensemble", 2).notes
    assert (server.state("ensemble"), server.state("mobilenet"), server.refused) == (BOTH_NEW, MOBILENET_7, [])
    assert notes[0] == (
        f"{connection.server}: mobilenet is 'only 7, stable -> 7', in {configured} 'only 7, 8, stable -> 8'; the server keeps what it has. "
        f"To bring it in line: cxr serving promote mobilenet 8 --label stable --config {configured} --server {connection.server}, "
        "or restart the server, which reads the file"
    )
    assert states_in(configured)["mobilenet"] == MOBILENET_8
    changes.promote("mobilenet", 8)
    assert (server.state("ensemble"), server.state("mobilenet"), server.refused) == (BOTH_NEW, MOBILENET_8, [])
    assert changes.rollback("ensemble").notes == ()
    assert (server.state("ensemble"), server.state("mobilenet")) == (PINNED_1, MOBILENET_8)


def test_a_change_that_fails_leaves_a_server_behind_in_another_model_as_it_was(configured: Path, labels_first):
    _edit(configured, "mobilenet", MOBILENET_7)
    server, connection = labels_first(configured)
    _edit(configured, "mobilenet", MOBILENET_8)
    _refuse_the_labels(server)
    with pytest.raises(RequestFailed, match="busy"):
        Changes(configured, [connection], wait=1).promote("ensemble", 2)
    assert (server.state("ensemble"), server.state("mobilenet")) == (PINNED_1, MOBILENET_7)
    assert Journal(configured).entries()[-1].outcome == REFUSED


def test_a_server_gets_no_other_model_that_it_does_not_have(configured: Path, labels_first):
    """Of another models.config, perhaps: it would wait for a folder that is not there."""
    server, connection = labels_first(configured)
    _edit(configured, "extra", ModelState(SPECIFIC, versions=(4,), labels={"stable": 4}))
    changes = Changes(configured, [connection], wait=1)
    notes = changes.promote("ensemble", 2).notes
    assert server.models() == {"ensemble", "mobilenet"}
    assert f"{connection.server}: extra is not served, in {configured} 'only 4, stable -> 4'" in notes[0]
    assert f"cxr serving promote extra 4 --label stable --config {configured} --server {connection.server}" in notes[0]
    changes.promote("extra", 4)  # the remedy
    assert server.state("extra") == ModelState(SPECIFIC, versions=(4,), labels={"stable": 4})
    assert (server.state("ensemble"), server.refused) == (BOTH_NEW, [])
    assert changes.promote("ensemble", 1).notes == ()


def test_a_model_that_a_server_does_not_get_leaves_nothing_behind(configured: Path, labels_first):
    server, connection = labels_first(configured)
    _edit(configured, "extra", ModelState(SPECIFIC, versions=(4,), labels={"stable": 4}))
    before = configured.read_text()
    server.loading = {4}
    with pytest.raises(CxrError, match="version 4 of extra is not available"):
        Changes(configured, [connection], wait=1).promote("extra", 4)
    assert (server.models(), configured.read_text()) == ({"ensemble", "mobilenet"}, before)
    assert Journal(configured).entries()[-1].outcome == REFUSED


def test_a_model_that_only_a_restart_brings(configured: Path, labels_first):
    server, connection = labels_first(configured)
    _edit(configured, "extra", ModelState(LATEST))
    (note,) = Changes(configured, [connection], wait=1).promote("ensemble", 2).notes
    assert server.models() == {"ensemble", "mobilenet"}
    assert note.endswith("in line: restart the server, which reads the file")


@pytest.mark.parametrize("command", ["promote", "rollback"])
def test_a_server_with_a_model_that_the_file_does_not_name_is_told_nothing(configured: Path, labels_first, command):
    server, connection = labels_first(configured)
    changes = Changes(configured, [connection], wait=1)
    changes.promote("ensemble", 2)
    _edit(configured, "mobilenet", None)
    before = configured.read_text()
    with pytest.raises(CxrError, match=f"serves mobilenet, which is not in {configured} and would end with this change; .*--config"):
        changes.promote("ensemble", 1) if command == "promote" else changes.rollback("ensemble")
    assert (server.state("ensemble"), server.models()) == (BOTH_NEW, {"ensemble", "mobilenet"})
    assert (configured.read_text(), len(Journal(configured).entries())) == (before, 1)


def test_a_label_that_only_the_server_has_stays_until_its_model_is_promoted(configured: Path, labels_first):
    _edit(configured, "mobilenet", ModelState(SPECIFIC, versions=(7,), labels={"stable": 7, "canary": 7}))
    server, connection = labels_first(configured)
    _edit(configured, "mobilenet", MOBILENET_7)
    changes = Changes(configured, [connection], wait=1)
    assert "mobilenet is 'only 7, canary -> 7, stable -> 7'" in changes.promote("ensemble", 2).notes[0]
    assert server.state("mobilenet").labels == {"stable": 7, "canary": 7}
    assert "it serves 'only 7, canary -> 7, stable -> 7'" in changes.promote("mobilenet", 7).notes[0]  # the remedy
    assert server.state("mobilenet") == MOBILENET_7


def test_another_model_that_is_loading_is_as_the_file_says(configured: Path, labels_first):
    """After a start: its label waits for the version, and must not be lost."""
    _edit(configured, "mobilenet", MOBILENET_8)
    server, connection = labels_first(configured)
    server.loading = {8}
    assert Changes(configured, [connection], wait=1).promote("ensemble", 2).notes == ()
    assert (server.state("ensemble"), server.state("mobilenet")) == (BOTH_NEW, MOBILENET_8)


# === Servers that refuse, or do not answer ===


def test_a_server_that_refuses_all_and_serves_what_it_served_is_as_before(configured: Path, labels_first):
    server, connection = labels_first(configured)
    calls: list[object] = []

    def refuse(config):
        calls.append(config)
        server.refused.append("not this one")
        return False

    server.apply = refuse
    with pytest.raises(RequestFailed, match="not this one"):
        Changes(configured, [connection], wait=1).promote("ensemble", 2)
    assert Journal(configured).entries()[-1].outcome == REFUSED
    assert len(calls) == 2  # the change, and once what was before


def test_a_server_that_keeps_a_version_of_the_change_is_not_as_before(configured: Path, labels_first):
    server, connection = labels_first(configured)
    take, calls = server.apply, []

    def take_the_versions_only(config):
        calls.append(config)
        server.refused.append("not this one")
        return len(calls) == 1 and take(config)

    server.apply = take_the_versions_only
    with pytest.raises(CxrError, match=f"not every server is known to be: {connection.server}: .*not this one"):
        Changes(configured, [connection], wait=1).promote("ensemble", 2)
    assert Journal(configured).entries()[-1].outcome == UNVERIFIED


def test_no_question_waits_for_longer_than_the_user(configured: Path, labels_first):
    server, connection = labels_first(configured)
    changes = Changes(configured, [connection], wait=2, published_to=[connection])
    changes.promote("ensemble", 2, pin=True)
    changes.rollback("ensemble")
    assert max(server.patience) < 3  # gRPC rounds; what else is asked for is half a minute
