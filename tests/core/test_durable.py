import contextlib
import errno
import os

import pytest
from killed import killed_at
from power_loss import losing_power

from cxr.core.durable import replace_output, replace_text, replacing


def test_a_machine_that_loses_power_finds_the_old_file_or_the_new_one(tmp_path, monkeypatch):
    folder, seen = tmp_path / "disk", []
    folder.mkdir()
    (folder / "file").write_text("old")
    with losing_power(folder, tmp_path / "crashes", lambda copy: seen.append((copy / "file").read_text()), monkeypatch) as disk:
        replace_text(folder / "file", "new")
    assert set(seen) == {"old", "new"}
    assert seen[-2:] == ["new", "new"]  # when it returns
    assert disk.losses > 2


def test_the_simulation_finds_what_was_not_brought_to_disk(tmp_path, monkeypatch):
    folder, seen = tmp_path / "disk", []
    folder.mkdir()
    (folder / "file").write_text("old")
    with losing_power(folder, tmp_path / "crashes", lambda copy: seen.append((copy / "file").read_text()), monkeypatch):
        (folder / "draft").write_text("new")
        (folder / "draft").replace(folder / "file")
    assert seen == ["", "old"]


def test_a_file_keeps_its_mode_and_a_failure_leaves_nothing(tmp_path):
    replace_text(tmp_path / "file", "é\r\n", 0o640)
    assert ((tmp_path / "file").read_bytes(), (tmp_path / "file").stat().st_mode & 0o777) == ("é\r\n".encode(), 0o640)
    with pytest.raises(TypeError), replacing(tmp_path / "file") as file:
        file.write("not bytes")  # type: ignore[call-overload]
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == "é\r\n".encode()


def test_of_several_that_write_a_file_to_keep_the_first_does(tmp_path, monkeypatch):
    folder, seen = tmp_path / "disk", []
    folder.mkdir()
    with losing_power(
        folder, tmp_path / "crashes", lambda copy: seen.append([path.read_bytes() for path in copy.glob("key")]), monkeypatch
    ):
        for content in (b"first", b"second"):
            with replacing(folder / "key", 0o600, keep=True) as file:
                assert os.fstat(file.fileno()).st_mode & 0o777 == 0o600
                file.write(content)
    assert {content for found in seen for content in found} == {b"first"}
    assert seen[-2:] == [[b"first"]] * 2
    assert os.listdir(folder) == ["key"]


@pytest.mark.parametrize(("number", "written"), [(errno.EINVAL, True), (errno.ENOTSUP, True), (errno.ENOSPC, False), (errno.EIO, False)])
def test_a_file_system_that_cannot_sync_takes_files_and_a_broken_one_does_not(tmp_path, monkeypatch, number, written):
    def refuse(handle):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with contextlib.nullcontext() if written else pytest.raises(OSError, match=os.strerror(number)):
        replace_text(tmp_path / "file", "new")
    assert (tmp_path / "file").exists() == written


def test_what_a_user_named_is_the_old_file_or_the_new_one_when_the_command_is_killed(tmp_path):
    (tmp_path / "file").write_text("old")
    (tmp_path / "file").chmod(0o640)
    (tmp_path / "link").symlink_to("file")
    seen, step = [], 0
    while killed_at(step, lambda: replace_output(tmp_path / "link", "new")):
        seen.append((tmp_path / "file").read_text())
        (tmp_path / "file").write_text("old")
        step += 1
    assert set(seen) == {"old", "new"}
    assert (tmp_path / "link").is_symlink()
    assert ((tmp_path / "file").read_text(), (tmp_path / "file").stat().st_mode & 0o777) == ("new", 0o640)


def test_what_is_no_file_is_written_to(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    replace_output(tmp_path / "pipe", "text")
    assert os.read(reader, 10) == b"text"
    os.close(reader)
    assert os.listdir(tmp_path) == ["pipe"]


def test_what_a_killed_process_left_of_a_file_goes_when_it_is_written_again(tmp_path):
    file = tmp_path / "[x].json"
    step = 0
    while killed_at(step, lambda: replace_text(file, "new")):
        step += 1
    left = [path for path in tmp_path.iterdir() if path != file]
    assert len(left) > 1
    strange = tmp_path / f".{file.name}.notes"
    for path in (*left[1:], strange):
        path.touch()
        os.utime(path, (0, 0))
    replace_text(file, "newer")
    assert sorted(tmp_path.iterdir()) == sorted([file, strange, left[0]])  # the first one may be another process's that writes now


def test_a_name_may_be_as_long_as_the_file_system_takes(tmp_path):
    file = tmp_path / f"{'ü' * 125}.json"  # 255 bytes
    killed_at(3, lambda: replace_text(file, "old"))
    (left,) = tmp_path.iterdir()
    os.utime(left, (0, 0))
    replace_text(file, "new")
    assert (list(tmp_path.iterdir()), file.read_text()) == ([file], "new")
