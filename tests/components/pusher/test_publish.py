import multiprocessing
import os
import time

import pytest
from power_loss import losing_power

from cxr.components.baseline import champion
from cxr.components.baseline.push_record import PushRecord, read_record
from cxr.components.pusher.known import NO_CHAMPION
from cxr.components.pusher.publish import publish
from cxr.core.errors import CxrError


def record(version, fingerprint):
    return PushRecord(
        version=version,
        pushed_at="2026-11-25T00:00:00+00:00",
        pipeline="small",
        run="r",
        source="/runs/1",
        fingerprint=fingerprint,
        split="test",
        metrics={"accuracy": 0.8},
        floor=version,
    )


@pytest.fixture
def models(tmp_path):
    return tmp_path / "serving_models" / "mobilenet"


@pytest.fixture
def candidate(tmp_path):
    def make(name="one", size=10):
        folder = tmp_path / name
        (folder / "variables").mkdir(parents=True)
        (folder / "saved_model.pb").write_text(f"graph {name}")
        for part in range(20):
            (folder / "variables" / f"part-{part}").write_bytes(os.urandom(size))
        return folder

    return make


def push(models, candidate, expected=NO_CHAMPION):
    return publish(models, candidate, record, checked=champion.fingerprint(candidate), source="/runs/1", expected=expected)


def champion_in(models):
    found = champion.read(models / champion.POINTER)
    assert found is not None
    return found


def test_a_push_is_a_version_with_its_record_and_the_champion(models, candidate):
    source = candidate()
    version = push(models, source)
    assert (version / "saved_model.pb").read_text() == "graph one"
    record = read_record(version)
    assert record is not None
    assert record.fingerprint == champion.fingerprint(source)
    assert champion_in(models).folder == version
    assert {entry.name for entry in models.iterdir()} == {version.name, champion.POINTER, champion.LOCK}


def test_what_was_damaged_after_its_check_is_not_pushed(models, candidate):
    source = candidate()
    first = push(models, source)
    later = candidate("two")
    checked = champion.fingerprint(later)
    with open(later / "variables" / "part-3", "r+b") as file:
        file.truncate(5)
    with pytest.raises(CxrError, match=r"two: these are not the files that .* check loaded.* remove the artifact's folder"):
        publish(models, later, record, checked=checked, source="/runs/2", expected=first.name)
    assert champion_in(models).folder == first
    assert [folder for folder in models.iterdir() if folder.is_dir()] == [first]


def test_the_champion_is_not_pushed_again(models, candidate):
    first = push(models, candidate())
    assert push(models, models.parent.parent / "one", expected=first.name) == first


def test_no_version_is_pushed_that_no_server_would_find(models, candidate):
    """A folder with the largest number that the protocol holds, of somebody's hand; a larger one is no version to anybody."""
    first = push(models, candidate())
    (models / "99999999999999999999").mkdir()
    second = push(models, candidate("two"), expected=first.name)
    assert int(first.name) < int(second.name) < 2**40
    (models / str(2**63 - 1)).mkdir()
    with pytest.raises(CxrError, match="9223372036854775807: no version can have a higher number, .* rename or remove"):
        push(models, candidate("three"), expected=second.name)
    assert champion_in(models).folder == second


def test_a_later_push_has_a_higher_number_whatever_the_clock_says(models, candidate):
    first = push(models, candidate())
    ahead = str(int(first.name) + 10_000)
    first.rename(models / ahead)
    with champion.locked(models) as pointer:
        (models / champion.POINTER).unlink()
        pointer.write(ahead, "f", "/runs/1", expected=None)
    assert int(push(models, candidate("two"), expected=ahead).name) == int(ahead) + 1


@pytest.mark.parametrize("expected", ["99", NO_CHAMPION])
def test_a_champion_that_changed_meanwhile_stays(models, candidate, expected):
    first = push(models, candidate())
    with pytest.raises(champion.ChampionChangedError):
        push(models, candidate("two"), expected=expected)
    assert champion_in(models).folder == first
    assert [entry.name for entry in models.iterdir() if entry.name.isdecimal()] == [first.name]


def test_where_nothing_was_compared_the_last_push_counts(models, candidate):
    push(models, candidate(), expected=None)
    second = push(models, candidate("two"), expected=None)
    assert champion_in(models).folder == second
    assert (second / "saved_model.pb").read_text() == "graph two"


def test_a_version_without_a_crown_gets_it_and_is_not_pushed_twice(models, candidate):
    version = push(models, candidate())
    (models / champion.POINTER).unlink()  # as if killed between the two
    assert push(models, models.parent.parent / "one") == version
    assert champion_in(models).folder == version


def test_nobody_sees_half_a_version_even_when_the_push_is_killed(models, candidate):
    source = candidate(size=4_000_000)
    expected = {str(file.relative_to(source)): file.stat().st_size for file in source.rglob("*") if file.is_file()}
    models.mkdir(parents=True)
    child = multiprocessing.get_context("fork").Process(target=push, args=(models, source))
    child.start()
    while not list(models.glob(".incoming-*/variables/part-*")):
        assert child.is_alive()
        time.sleep(0.001)
    child.kill()
    child.join()
    assert not [entry for entry in models.iterdir() if entry.name.isdecimal()]

    version = push(models, source)
    found = {str(file.relative_to(version)): file.stat().st_size for file in version.rglob("*") if file.is_file()}
    assert found.items() >= expected.items()
    assert not list(models.glob(".incoming-*"))


def test_a_machine_that_loses_power_has_a_whole_champion(tmp_path, models, candidate, monkeypatch):
    first, second = candidate("one"), candidate("two")
    push(models, first)
    whole, seen = {champion.fingerprint(first), champion.fingerprint(second)}, []

    def check(copy):
        found = champion.read(copy / models.name / champion.POINTER)
        assert found is not None
        pushed = read_record(found.folder)
        assert pushed is not None
        assert pushed.fingerprint == found.fingerprint
        for version in (folder for folder in (copy / models.name).iterdir() if folder.name.isdigit()):
            assert sorted(file.name for file in (version / "variables").iterdir()) == sorted(f"part-{part}" for part in range(20))
            assert all(file.stat().st_size == 10 for file in (version / "variables").iterdir())
        seen.append(found.fingerprint)

    with losing_power(models.parent, tmp_path / "crashes", check, monkeypatch):
        push(models, second, expected=champion_in(models).version)
    assert set(seen) == whole
    assert seen[-2:] == 2 * [champion.fingerprint(second)]
