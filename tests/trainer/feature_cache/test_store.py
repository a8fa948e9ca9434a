import errno
import multiprocessing
import os
import time
from datetime import UTC, datetime

import numpy as np
import pytest
from killed import killed_at

from cxr.trainer.feature_cache import shards
from cxr.trainer.feature_cache.store import ANSWERS, FEATURES, STATISTICS, GroupInfo, Shard, Store, files_in
from cxr.trainer.feature_cache.summary import summaries

WIDTH = 7
ABOUT = GroupInfo(kind=FEATURES, backbone="MobileNet", image_size=32)
PLENTY = 10**9


def keys(numbers):
    return [shards.key(b"image %d" % number) for number in numbers]


def rows(numbers):
    return np.stack([np.random.default_rng(number).normal(size=WIDTH).astype(np.float32) for number in numbers])


def filled(folder, numbers=range(10), max_bytes=PLENTY):
    store = Store(folder, max_bytes)
    store.group("f", ABOUT).add(keys(numbers), rows(numbers))
    return store


def read(folder, numbers=range(10)):
    store = Store(folder, PLENTY)
    got, found = store.group("f", ABOUT).read(keys(numbers), WIDTH)
    np.testing.assert_array_equal(got[found], rows(np.asarray(numbers)[found]) if found.any() else got[found])
    return found, store.notes


def test_rows_come_back_to_the_bit_and_only_for_what_was_kept(tmp_path):
    filled(tmp_path)
    found, notes = read(tmp_path, [3, 20, 3, 9])
    assert found.tolist() == [True, False, True, True]
    assert notes == []
    other = Store(tmp_path, PLENTY)
    assert not other.group("g", ABOUT).read(keys([3]), WIDTH)[1].any()  # made by another network
    assert not other.group("f", GroupInfo(kind=STATISTICS, backbone="MobileNet", image_size=32)).read(keys([3]), WIDTH)[1].any()


def test_a_flipped_bit_is_never_believed(tmp_path):
    filled(tmp_path / "whole")
    (file,) = (tmp_path / "whole").glob("*/*.npy")
    whole = file.read_bytes()
    for where in range(0, len(whole), 9):
        folder = tmp_path / str(where)
        filled(folder)
        (file,) = folder.glob("*/*.npy")
        file.write_bytes(whole[:where] + bytes([whole[where] ^ 4]) + whole[where + 1 :])
        found, notes = read(folder)  # compares what is found with what was kept
        if not found.all():
            assert notes or found.sum() == 9, where  # a key that is nobody's any more
            filled(folder, np.flatnonzero(~found))
            assert read(folder)[0].all(), where


def test_a_truncated_file_goes_and_the_whole_rows_beside_a_damaged_one_stay(tmp_path):
    filled(tmp_path / "a")
    (file,) = (tmp_path / "a").glob("*/*.npy")
    os.truncate(file, file.stat().st_size - 20)
    found, notes = read(tmp_path / "a")
    assert not found.any()
    assert notes == [f"feature cache {tmp_path / 'a'}: a file of MobileNet was damaged, and is computed again"]
    assert not file.exists()

    filled(tmp_path / "b")
    (file,) = (tmp_path / "b").glob("*/*.npy")
    table = np.load(file)
    table["row"][4, 0] += 1
    np.save(file, table)
    found, notes = read(tmp_path / "b")
    assert np.flatnonzero(~found).tolist() == [4]
    assert notes == [f"feature cache {tmp_path / 'b'}: a row of MobileNet was damaged, and is computed again"]
    found, notes = read(tmp_path / "b")  # the damaged file is gone, its whole rows are kept
    assert (found.sum(), notes) == (9, [])


def test_the_bound_holds_and_what_was_not_used_for_longest_goes_first(tmp_path):
    one = 10 * shards.size_of(np.empty(1, "V16"), np.empty((1, WIDTH), np.float32)) + 200  # and a header
    for number in range(3):
        filled(tmp_path, range(10 * number, 10 * number + 10), 3 * one)
        for file in tmp_path.glob("*/*.npy"):  # an hour older each time
            os.utime(file, (file.stat().st_mtime - 3600,) * 2)
    read(tmp_path, range(10))  # the oldest is used: its time is now
    filled(tmp_path, range(30, 40), 3 * one)
    assert read(tmp_path, range(10))[0].all()
    assert not read(tmp_path, range(10, 20))[0].any()
    assert read(tmp_path, range(20, 40))[0].all()
    assert sum(one.size for one in files_in(tmp_path)) <= 3 * one


def test_a_run_that_is_larger_than_the_bound_keeps_what_fits(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_BYTES", 1000)
    store = filled(tmp_path, range(100), 3000)
    assert sum(one.size for one in files_in(tmp_path)) <= 3000
    assert 20 < read(tmp_path, range(100))[0].sum() < 60
    assert ["raise feature_cache.max_gigabytes" in note for note in store.notes] == [True]


def test_nothing_fails_where_the_folder_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way of a folder")
    store = filled(tmp_path / "file" / "cache")
    store.group("f", ABOUT).add(keys([1]), rows([1]))
    assert len(store.notes) == 1  # once
    assert "what is computed now is not kept" in store.notes[0]
    assert not read(tmp_path / "file" / "cache")[0].any()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_full_or_read_only_disk_is_said_once_and_what_is_there_is_still_read(tmp_path, monkeypatch, code):
    filled(tmp_path)

    def refuse(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(shards.np, "save", refuse)
    store = filled(tmp_path, range(10, 20))
    store.group("f", ABOUT).add(keys([30]), rows([30]))
    assert store.notes == [f"feature cache {tmp_path}: cannot be written ({os.strerror(code)}); what is computed now is not kept"]
    assert read(tmp_path)[0].all()
    assert not list(tmp_path.glob("*/.*"))


def test_a_full_cache_that_may_not_be_written_is_told_as_such(tmp_path, monkeypatch):
    filled(tmp_path)
    (tmp_path / "file").touch()

    def refuse(self):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Shard, "remove", refuse)
    store = filled(tmp_path, range(10, 20), 1000)
    assert store.notes == [f"feature cache {tmp_path}: cannot be written (Permission denied); what is computed now is not kept"]
    assert read(tmp_path)[0].all()


def test_killed_at_any_moment_a_file_is_there_whole_or_not_at_all(tmp_path):
    filled(tmp_path)
    (group,), (first,) = tmp_path.glob("*"), tmp_path.glob("*/*.npy")
    step, there = 0, []
    while killed_at(step, lambda: shards.write(group, shards.as_keys(keys([10])), rows([10]))):
        found, notes = read(tmp_path, [10])
        there.append(bool(found.all()))
        assert notes == []
        assert there[-1] == (len(list(group.glob("*.npy"))) == 2)
        for file in {*group.glob("*.npy"), *group.glob(".*")} - {first}:
            file.unlink()
        step += 1
    assert sorted(there) == there
    assert {*there} == {False, True}
    assert read(tmp_path, range(11))[0].all()


def _writes(folder, numbers, forever):
    while True:
        store = filled(folder, numbers)
        found = store.group("f", ABOUT).read(keys(numbers), WIDTH)[1]
        assert found.all()
        if not forever:
            return


def test_two_processes_write_at_once_and_one_is_killed(tmp_path):
    context = multiprocessing.get_context("fork")
    killed = context.Process(target=_writes, args=(tmp_path, range(50), True))
    killed.start()
    others = [context.Process(target=_writes, args=(tmp_path, range(10 * n, 10 * n + 30), False)) for n in range(3)]
    for process in others:
        process.start()
    for process in others:
        process.join(60)
    while not read(tmp_path, range(50))[0].all():
        time.sleep(0.01)
    killed.kill()
    killed.join()
    assert [process.exitcode for process in others] == [0, 0, 0]
    found, notes = read(tmp_path, range(50))
    assert found.all()
    assert notes == []


def test_what_a_killed_process_left_half_written_goes_when_it_is_old(tmp_path):
    filled(tmp_path)
    (group,) = tmp_path.glob("*")
    assert killed_at(1, lambda: shards.write(group, shards.as_keys(keys([10])), rows([10])))
    (left,) = group.glob(".*")
    list(files_in(tmp_path))
    assert left.exists()  # may be under way
    os.utime(left, (0, 0))
    list(files_in(tmp_path))
    assert not left.exists()


def test_files_of_others_are_neither_counted_nor_removed(tmp_path):
    """Somebody may name a folder that holds more."""
    filled(tmp_path)
    (tmp_path / "Downloads").mkdir()
    theirs = [tmp_path / "Downloads" / name for name in ("disk.iso.part", ".x.part", "thesis.npy", f".thesis.npy.{'a1' * 16}")]
    for file in theirs:
        file.write_bytes(b"theirs")
        os.utime(file, (0, 0))
    for one in files_in(tmp_path):
        one.remove()
    assert all(file.exists() for file in theirs)
    assert list(tmp_path.iterdir()) == [tmp_path / "Downloads"]


def test_summaries(tmp_path):
    assert summaries(tmp_path / "none") == []
    filled(tmp_path)
    store = Store(tmp_path, PLENTY)
    store.group("f", GroupInfo(kind=STATISTICS, backbone="MobileNet", image_size=32)).add(keys([1]), rows([1]))
    store.group("g", GroupInfo(kind=FEATURES, backbone="DenseNet201", image_size=32)).add(keys(range(3)), rows(range(3)))
    for model in ("one", "two"):
        store.group(model, GroupInfo(kind=ANSWERS, backbone=model, image_size=32)).add(keys([1]), rows([1])[:, :1])
    found = {one.backbone: one for one in summaries(tmp_path)}
    first, second, answers = found["MobileNet"], found["DenseNet201"], found["answers"]
    assert answers.entries == 2  # of both models
    assert (first.backbone, first.entries, second.backbone, second.entries) == ("MobileNet", 10, "DenseNet201", 3)
    assert first.size + second.size + answers.size == sum(file.stat().st_size for file in tmp_path.glob("*/*.npy"))
    assert (datetime.now(UTC) - first.last_used).total_seconds() < 60
    for one in files_in(tmp_path):
        one.remove()
    assert list(tmp_path.iterdir()) == []
