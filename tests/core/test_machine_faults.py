import errno
import os
import resource
from pathlib import Path

import pytest

from cxr.core.errors import CxrError, UsageError
from cxr.core.machine_faults import check_file_at_fault, explained, writing_temporary_files, writing_to
from cxr.core.strict_model import StrictModel


class Found(StrictModel):
    text: str


def test_a_full_disk_is_told_with_place_and_remedy(tmp_path):
    with pytest.raises(CxrError) as raised, writing_to(tmp_path), open("/dev/full", "w") as file:
        file.write("a")
    assert str(raised.value) == f"{tmp_path}: No space left on device; make room there, then run the same command again"


def test_what_libraries_make_of_it_is_understood():
    try:
        try:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), "/models/1")
        except OSError as error:
            raise RuntimeError("while running 'Write'") from error
    except RuntimeError as error:
        found = explained(error, Path("/models"))
    assert found == "/models/1: Read-only file system; mount it to be written to, or name another place"
    for text in ("/a/events; No space left on device", "Error when executing query: database or disk is full query: INSERT"):
        assert explained(RuntimeError(text), Path("/a")) == "/a: No space left on device; make room there, then run the same command again"
    for full in (MemoryError(), RuntimeError("std::bad_alloc"), RuntimeError("OOM when allocating tensor with shape[9,9]")):
        assert "the memory is full; smaller batches or images need less" in str(explained(full, Path("/a")))
    told = str(explained(RuntimeError("can't start new thread"), Path("/a")))
    assert told.startswith("no more threads can be started: the memory is full, or a limit is reached; end other programs")
    assert explained(BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), "/a/lock"), Path("/a")) is None  # a file that is busy
    assert explained(ValueError("no such column"), Path("/a")) is None
    assert explained(RuntimeError("weights.h5; Permission denied"), Path("/a")) is None  # a file that is read, which these words name
    assert explained(CxrError("weights.h5: cannot be read (Input/output error); copy it again"), Path("/a")) is None
    assert (
        explained(NotADirectoryError(errno.ENOTDIR, "", "/a/b"))
        == "/a/b: Not a directory; a part of this path is a file; name another place"
    )
    assert explained(RuntimeError("x.keras: Not a directory")) is None
    assert explained(FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "/a/b")) is None


def test_a_link_that_leads_to_itself_is_told(tmp_path):
    (link := tmp_path / "champion.json").symlink_to(link)
    with pytest.raises(OSError, match="Too many levels") as raised:
        link.read_text()
    assert str(explained(raised.value)).startswith(f"{link}: Too many levels of symbolic links; a link leads to itself: remove it")


def test_a_full_disk_of_temporary_files_is_told_with_the_way_to_another(tmp_path, monkeypatch):
    """Not as the disk of the workspace, which the block around it writes to."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "elsewhere"))
    with pytest.raises(CxrError) as raised, writing_to(tmp_path), writing_temporary_files(), open("/dev/full", "w") as file:
        file.write("a")
    assert str(raised.value).startswith(f"{tmp_path}/elsewhere: No space left on device; make room there, then run the same command again;")
    assert "TMPDIR=FOLDER" in str(raised.value)
    with pytest.raises(FileNotFoundError), writing_temporary_files():
        open(tmp_path / "gone")  # noqa: SIM115


def test_no_file_elsewhere_is_named(tmp_path):
    """It may be a patient's study."""
    with pytest.raises(CxrError) as raised, writing_to(tmp_path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/studies/Jane Doe.dcm")
    assert "Doe" not in str(raised.value)
    assert str(tmp_path) in str(raised.value)


@pytest.mark.parametrize("error", [UsageError("no such file"), ZeroDivisionError(), KeyboardInterrupt()])
def test_other_errors_stay_what_they_are(tmp_path, error):
    with pytest.raises(type(error)) as raised, writing_to(tmp_path):
        raise error
    assert raised.value is error


def test_a_record_that_does_not_fit_leaves_the_one_before(tmp_path):
    file = tmp_path / "found.json"
    Found(text="before").write(file)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # the next byte is EFBIG, as that of a full disk is ENOSPC
    try:
        with pytest.raises(CxrError, match=r"File too large; have the limit raised"), writing_to(tmp_path):
            Found(text="a" * 10_000).write(file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert Found.read(file, "").text == "before"
    assert [found.name for found in tmp_path.iterdir()] == ["found.json"]


def test_a_file_is_not_at_fault_where_the_machine_is():
    with pytest.raises(
        CxrError, match="a file of the source cannot be read: Input/output error; .* then run the same command again"
    ) as raised:
        check_file_at_fault(OSError(errno.EIO, "Input/output error", "/scans/doe.png"))
    assert "doe" not in str(raised.value)
    for own in (
        OSError(errno.ENOENT, "gone"),
        OSError(errno.EACCES, "not yours"),
        OSError(errno.EINVAL, "no such place"),
        OSError("truncated"),
    ):
        check_file_at_fault(own)
