"""Archives that mean harm."""

import errno
import io
import os
import shutil
import tarfile
import zipfile

import pytest
from power_loss import losing_power

from cxr.core.errors import CxrError
from cxr.data.fetch import entries
from cxr.data.fetch.catalogue import KAGGLE_COVID
from cxr.data.fetch.entries import entries_of
from cxr.data.fetch.fetch import fetch
from cxr.data.fetch.selection import Options

from .small_collections import picture, write

NAMES = ("../NORMAL/a.png", "/tmp/NORMAL/b.png", "x/../../NORMAL/c.png", "C:/NORMAL/d.png", "..\\NORMAL\\e.png")


def add(archive, name, data=b"", **facts):
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for fact, value in facts.items():
        setattr(member, fact, value)
    archive.addfile(member, io.BytesIO(data))


def hostile_tar(path):
    with tarfile.open(path, "w:gz") as archive:
        for name in NAMES:
            add(archive, name, picture(1))
        add(archive, "NORMAL/link.png", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        add(archive, "NORMAL/hard.png", type=tarfile.LNKTYPE, linkname="/etc/passwd")
        add(archive, "NORMAL/device.png", type=tarfile.CHRTYPE)
        add(archive, "NORMAL/good.png", picture(2))


def hostile_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        for name in NAMES:
            archive.writestr(name, picture(1))
        for name in ("link.png", "hard.png", "device.png"):
            link = zipfile.ZipInfo(f"NORMAL/{name}")
            link.create_system, link.external_attr = 3, 0o120777 << 16
            archive.writestr(link, "/etc/passwd")
        archive.writestr("NORMAL/good.png", picture(2))


@pytest.mark.parametrize(("make", "name"), [(hostile_tar, "a.tar.gz"), (hostile_zip, "a.zip")])
def test_no_name_leads_out_and_no_link_is_followed(tmp_path, console, make, name):
    (tmp_path / "in").mkdir()
    make(tmp_path / "in" / name)
    before = set(tmp_path.rglob("*"))
    about = fetch(KAGGLE_COVID, tmp_path / "out", Options(), console=console, origin=tmp_path / "in" / name)
    assert about.images == {"normal": 1}
    assert about.left_out == {entries.UNSAFE: len(NAMES), entries.LINK: 3}
    (image,) = (tmp_path / "out" / "images").iterdir()
    assert image.read_bytes() == picture(2)
    assert all((tmp_path / "out") in (path, *path.parents) for path in set(tmp_path.rglob("*")) - before)


def test_links_of_a_folder_are_not_followed(tmp_path):
    write(tmp_path / "elsewhere" / "a.png", b"a")
    write(tmp_path / "source" / "b.png", b"b")
    (tmp_path / "source" / "file.png").symlink_to(tmp_path / "elsewhere" / "a.png")
    (tmp_path / "source" / "folder").symlink_to(tmp_path / "elsewhere")
    skipped: dict[str, str] = {}
    assert [entry.name for entry in entries_of(tmp_path / "source", skipped)] == ["b.png"]
    assert sorted(skipped.values()) == [entries.LINK] * 2


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_bombs(tmp_path, monkeypatch, name):
    monkeypatch.setattr(entries, "GROWTH_FREE", 1 << 16)
    path = tmp_path / name
    if name == "a.zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("NORMAL/a.png", bytes(4 << 20))
    else:
        with tarfile.open(path, "w:gz") as archive:
            add(archive, "NORMAL/a.png", bytes(4 << 20))
    with pytest.raises(CxrError, match="would unpack to more than 20 times its size"):
        list(entries_of(path))


def test_a_file_that_is_said_to_be_longer_than_its_archive_could_be(tmp_path, monkeypatch):
    """tarfile goes on to its end, a block at a time, though nothing is left to read: of 2 to the 60th bytes for years."""
    monkeypatch.setattr(entries, "GROWTH_FREE", 1 << 16)
    member = tarfile.TarInfo("NORMAL/a.png")
    member.size = 1 << 30
    (tmp_path / "a.tar").write_bytes(member.tobuf())
    with pytest.raises(CxrError, match="would unpack to more than 20 times its size"):
        list(entries_of(tmp_path / "a.tar"))


def test_files_larger_than_any_picture_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(entries, "LARGEST_FILE", 100)
    write(tmp_path / "source" / "large.png", bytes(101))
    write(tmp_path / "source" / "small.png", bytes(99))
    with zipfile.ZipFile(tmp_path / "source" / "a.zip", "w") as archive:
        archive.writestr("large.png", bytes(101))
        archive.writestr("other.png", bytes(99))
    skipped: dict[str, str] = {}
    assert [entry.name for entry in entries_of(tmp_path / "source", skipped)] == ["small.png", "other.png"]
    assert len(skipped) == 2


def test_an_encrypted_zip_says_so(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", b"a")
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    skipped: dict[str, str] = {}
    assert list(entries_of(tmp_path / "a.zip", skipped)) == []
    assert list(skipped.values()) == [entries.ENCRYPTED]


def zipped(kind, name):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", kind) as archive:
        archive.writestr(name, bytes(range(256)) * 20)
    return stream.getvalue()


def damaged_content():
    packed = zipped(zipfile.ZIP_LZMA, "a.png")
    at = packed.index(b"a.png") + 25
    return packed[:at] + b"\x5a" * 40 + packed[at + 40 :]


@pytest.mark.parametrize(
    ("file", "data"),
    [
        ("a.zip", zipped(zipfile.ZIP_DEFLATED, "ä.png").replace("ä".encode(), b"\xff\xff")),
        ("a.zip", damaged_content()),
    ],
)
def test_what_the_libraries_cannot_read_is_named(tmp_path, file, data):
    (tmp_path / file).write_bytes(data)

    def copy_all():
        for entry in entries_of(tmp_path / file):
            entry.copy(tmp_path / "copied.png")

    with pytest.raises(CxrError, match="is damaged, cut off or no archive of its kind"):
        copy_all()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (errno.ENOSPC, r"^the disk is full; make room"),
        (errno.EDQUOT, r"^the disk is full; make room"),
        (errno.EIO, r"^\S+a\.zip: cannot be read or copied \(Input/output error\); get it again"),
    ],
)
def test_a_fault_of_the_machine_is_no_damaged_archive(tmp_path, monkeypatch, fault, said):
    def fail(*_):
        raise OSError(fault, os.strerror(fault))

    (tmp_path / "a.zip").write_bytes(zipped(zipfile.ZIP_DEFLATED, "a.png"))
    monkeypatch.setattr(shutil, "copyfileobj", fail)
    found = entries_of(tmp_path / "a.zip")
    with pytest.raises(CxrError, match=said):
        next(found).copy(tmp_path / "copied.png")
    assert [file.name for file in tmp_path.iterdir()] == ["a.zip"]


@pytest.mark.parametrize("archived", [False, True])
def test_names_that_are_no_utf8_are_taken(tmp_path, console, archived):
    (tmp_path / "in").mkdir()
    name = os.fsdecode(b"NORMAL/\xff.png")
    if archived:
        with tarfile.open(tmp_path / "in" / "a.tar", "w") as archive:
            add(archive, name, picture(1))
    else:
        write(tmp_path / "in" / name, picture(1))
    about = fetch(KAGGLE_COVID, tmp_path / "out", Options(), console=console, origin=tmp_path / "in")
    assert about.images == {"normal": 1}
    (image,) = (tmp_path / "out" / "images").iterdir()
    assert image.read_bytes() == picture(1)
    assert "udcff.png" in (tmp_path / "out" / "manifest.csv").read_text()  # as it was called, spelled out
    assert fetch(KAGGLE_COVID, tmp_path / "out", Options(), console=console, origin=tmp_path / "in") == about


def test_a_tar_that_was_cut_between_two_files_is_not_taken_for_whole(tmp_path):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for k in range(3):
            add(archive, f"{k}.png", bytes(512))
    import gzip

    packed = gzip.compress(stream.getvalue())
    (tmp_path / "a.tar.gz").write_bytes(packed[:-6])
    with pytest.raises(CxrError, match="cut off"):
        list(entries_of(tmp_path / "a.tar.gz"))


def test_a_copy_outlasts_a_loss_of_power_whole_or_not_at_all(tmp_path, monkeypatch):
    folder, seen = tmp_path / "images", []
    folder.mkdir()
    (tmp_path / "picture.png").write_bytes(b"pixels")
    (entry,) = entries_of(tmp_path)
    with losing_power(
        folder, tmp_path / "crashes", lambda copy: seen.append([path.read_bytes() for path in copy.glob("a.png")]), monkeypatch
    ):
        entry.copy(folder / "a.png")
    assert [] in seen  # else nothing was lost
    assert {content for found in seen for content in found} == {b"pixels"}
    assert seen[-2:] == [[b"pixels"]] * 2
