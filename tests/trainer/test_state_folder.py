import errno
import fcntl
import multiprocessing
import os
import signal

import pytest

from cxr.core import progress
from cxr.trainer.state_folder import States, held, is_held


@pytest.fixture
def said(caplog):
    caplog.set_level("INFO", logger=progress.LOGGER)
    return caplog


def test_one_at_a_time_has_the_state_of_a_training(tmp_path, said):
    folder = tmp_path / "state" / "0a1b"
    with States(tmp_path / "state") as first, States(tmp_path / "state") as second:
        assert first.take("0a1b") == folder
        assert second.take("0a1b") is None
        assert second.take("2c3d") == tmp_path / "state" / "2c3d"
        assert is_held(folder)
    assert [record.getMessage() for record in said.records] == [
        f"training state {folder}.lock: another process has it: the same training in another run, or an attempt of this one that has not "
        "ended; this training begins anew, and keeps nothing to go on from"
    ]
    assert not is_held(folder)
    assert list((tmp_path / "state").iterdir()) == []
    with States(tmp_path / "state") as third:
        assert third.take("0a1b") == folder


def test_the_folder_may_go_while_it_is_held(tmp_path):
    folder = tmp_path / "0a1b"
    with held(folder) as reason:
        assert reason == ""
        folder.mkdir()
        folder.rmdir()
        with held(folder) as other:
            assert "another process has it" in other
        assert is_held(folder)  # whoever did not get it does not let others in


def test_who_fails_lets_others_in(tmp_path):
    def fail():
        with States(tmp_path) as states:
            raise KeyError(states.take("0a1b"))

    pytest.raises(KeyError, fail)
    assert not is_held(tmp_path / "0a1b")


def test_who_is_killed_lets_others_in(tmp_path, said):
    def take_and_be_killed():
        states = States(tmp_path)
        states.take("0a1b")
        os.kill(os.getpid(), signal.SIGKILL)

    child = multiprocessing.get_context("fork").Process(target=take_and_be_killed)
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == ["0a1b.lock"]
    assert not is_held(tmp_path / "0a1b")
    with States(tmp_path) as states:
        assert states.take("0a1b") == tmp_path / "0a1b"
    assert said.text == ""
    assert list(tmp_path.iterdir()) == []


NO_LOCKS = "the volume has no file locks ({}); use one that has: NFSv4, CephFS"


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (errno.ENOLCK, NO_LOCKS),
        (errno.ENOSYS, NO_LOCKS),
        (errno.EOPNOTSUPP, NO_LOCKS),
        (errno.ESTALE, "{}"),
    ],
)
def test_where_no_lock_is_given_nobody_has_it(tmp_path, said, monkeypatch, code, told):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with States(tmp_path) as states:
        assert states.take("0a1b") is None
    assert f"training state {tmp_path}/0a1b.lock: {told.format(os.strerror(code))}; this training begins anew" in said.text
    assert is_held(tmp_path / "0a1b")  # nobody knows


def test_a_lock_that_its_holder_takes_away_meanwhile_is_taken_anew(tmp_path, monkeypatch):
    flock = fcntl.flock
    calls: list[int] = []

    def flock_late(file, how):
        if not calls:  # the holder ends between the opening and the locking
            (tmp_path / "0a1b.lock").unlink()
        calls.append(how)
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", flock_late)
    with States(tmp_path) as first, States(tmp_path) as second:
        assert first.take("0a1b") == tmp_path / "0a1b"
        assert second.take("0a1b") is None
    assert len(calls) == 3
