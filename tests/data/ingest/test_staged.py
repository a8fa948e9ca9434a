"""Pictures that wait to be dealt."""

import json

import numpy as np
import pytest

from cxr.data.ingest import reading, staged
from cxr.data.ingest.ingest_config import Ingest
from cxr.data.ingest.private_lists import BadRows
from cxr.data.ingest.rows import Row
from cxr.data.ingest.staged import Staged, StageWriter, keys_of


@pytest.fixture
def files(tmp_path, make_image):
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for number, path in enumerate(paths):
        make_image(path, number)
    return paths


def test_of_a_key_the_picture_counts_and_half_a_line_does_not(tmp_path, files):
    """A file that could not be read, and was read by a later call: the names of the indices are drawn, and say nothing of the order."""
    with StageWriter(tmp_path) as writer:
        writer.read("ab", str(files[0]), 10**9, None)
    (read,) = tmp_path.glob("*.jsonl")
    first, last = tmp_path / "0.jsonl", tmp_path / "z.jsonl"
    refused = json.dumps(["ab", "", "", "truncated", "in row 3"]) + "\n"
    for second in (first, last):
        second.write_text(refused + json.dumps(["cd", "", "", "blank"])[:-4])
        again = Staged(tmp_path)
        assert again[b"ab"].file_hash
        picture = again.picture(b"ab")
        assert picture is not None
        assert picture.height == again[b"ab"].height > 0
        assert not again.unread(b"ab")
    read.unlink()
    staged = Staged(tmp_path)
    assert staged[b"ab"].reason == "truncated"
    assert staged.picture(b"ab") is None
    assert not staged.thumbnail(b"ab").any()
    assert staged.unread(b"ab")
    assert staged.unread(b"cd")
    assert b"cd" not in staged
    with pytest.raises(KeyError):
        staged[b"cd"]


def test_a_folder_without_pictures(tmp_path):
    assert Staged(tmp_path).unread(b"ab")


def row_of(file):
    return Row(folder=str(file.parent), name=file.name, place="m.csv line", position=2, label="normal")


def test_many_files_are_read_by_several_jobs(tmp_path, files, monkeypatch):
    monkeypatch.setattr(reading, "FILES_PER_JOB", 2)
    jobs = []
    real = reading.beam.Pipeline

    def counted(**options):
        jobs.append(options)
        return real(**options)

    monkeypatch.setattr(reading.beam, "Pipeline", counted)
    keys = keys_of(map(row_of, files), Ingest(), b"key")
    folder = tmp_path / "staged"
    folder.mkdir()
    reading.read_files(zip(keys.astype(str).tolist(), map(str, files), strict=True), folder, Ingest(workers=1))
    assert len(jobs) == 3
    staged = Staged(folder)
    assert len({staged[key].content_hash for key in keys}) == 5
    assert all(np.ptp(staged.thumbnail(key)) for key in keys)


def test_a_file_that_goes_meanwhile_is_named_in_the_private_list_alone(files):
    files[1].unlink()
    with pytest.raises(BadRows, match=r"an image cannot be looked at \(No such file or directory\)") as raised:
        keys_of(map(row_of, files), Ingest(), b"key")
    assert [row.path for row in raised.value.rows] == [str(files[1])]
    assert str(files[1]) not in str(raised.value)


def test_what_a_version_left_that_kept_less_of_a_file_is_not_taken(files, monkeypatch):
    keys = keys_of(map(row_of, files), Ingest(), b"key")
    monkeypatch.setattr(staged.Entry, "__slots__", staged.Entry.__slots__[:-1])
    assert not set(keys) & set(keys_of(map(row_of, files), Ingest(), b"key"))


@pytest.mark.parametrize(("files", "workers", "groups"), [(240, 2, 2), (300, 2, 4), (5, 2, 2), (1, 4, 1), (1000, 4, 8), (4096, 2, 32)])
def test_workers_get_equal_shares_of_the_files(files, workers, groups):
    size = reading._group_size(files, Ingest(workers=workers))
    assert -(-files // size) == groups
    assert size <= Ingest().images_per_shard
