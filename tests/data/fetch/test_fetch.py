"""Whole collections from a local server, each as its own host serves it."""

import csv
import dataclasses
import hashlib
import json
import shutil
import tarfile

import pytest

from cxr.core.errors import CxrError
from cxr.data.fetch import nih_subset
from cxr.data.fetch.catalogue import COLLECTIONS, NIH_PART_IMAGES, Remote
from cxr.data.fetch.errors import FetchError
from cxr.data.fetch.fetch import fetch
from cxr.data.fetch.selection import Options

from . import small_collections
from .bad_server import always, cut_after


def fetched(collection, out, console, waits, keep_archives=False, **options):
    return fetch(collection, out, Options.model_validate(options), console=console, pause=waits.append, keep_archives=keep_archives)


def rows_of(out):
    with (out / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def github(server, tmp_path):
    """The collection ieee8023, served as GitHub does: a list of the repository, and every file by its path."""
    folder = tmp_path / "repository"
    small_collections.ieee8023(folder)
    tree = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data, name = path.read_bytes(), path.relative_to(folder).as_posix()
            sha = hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()
            tree.append({"path": name, "type": "blob", "size": len(data), "sha": sha})
            server.files[f"/raw/{name.replace(' ', '%20').replace('é', '%C3%A9')}"] = data
    server.files["/tree"] = json.dumps({"sha": "6a42", "tree": tree, "truncated": False}).encode()
    files = (Remote("tree.json", f"{server.url}/tree"), Remote("metadata.csv", f"{server.url}/raw/metadata.csv"))
    return dataclasses.replace(COLLECTIONS["ieee8023"], files=files, image_url=f"{server.url}/raw/{{path}}")


def images_asked(server):
    return [path for path, _ in server.requests if path.startswith("/raw/images")]


def test_ieee8023(github, server, tmp_path, console, waits):
    out = tmp_path / "out"
    about = fetched(github, out, console, waits)
    assert about.images == {"covid19": 4, "pneumonia": 4, "normal": 4}
    assert about.left_out["listed, but no such file"] == 1
    assert len(images_asked(server)) == 12  # no CT, no lateral view, no mask
    for row in rows_of(out):
        assert (out / row["image"]).read_bytes() == (tmp_path / "repository" / row["original"]).read_bytes()
    lock = json.loads((out / "fetch" / "ieee8023" / "lock.json").read_text())["files"]
    assert len(lock) == 14
    assert all(entry["published"].startswith("git:") for name, entry in lock.items() if name.startswith("images/"))
    assert sorted(path.name for path in (out / "fetch" / "ieee8023" / "downloads").iterdir()) == ["metadata.csv", "tree.json"]
    asked = len(server.requests)
    assert fetched(github, out, console, waits) == about
    assert len(server.requests) == asked  # the second call asks nobody


def test_a_kept_result_says_what_was_not_there(tmp_path, console):
    folder, out = tmp_path / "in", tmp_path / "out"
    small_collections.ieee8023(folder)
    late = folder / "images" / "case 2-é.jpeg"
    data = late.read_bytes()
    late.unlink()
    first = fetch(COLLECTIONS["ieee8023"], out, Options(), console=console, origin=folder)
    late.write_bytes(data)
    assert "done earlier" not in console.file.getvalue()
    assert fetch(COLLECTIONS["ieee8023"], out, Options(), console=console, origin=folder) == first
    assert "done earlier, when 2 listed files were not there; for those that came since name another folder" in console.file.getvalue()


@pytest.mark.parametrize("archived", [False, True])
def test_a_damaged_table_is_named_where_its_user_can_mend_it(tmp_path, console, archived):
    folder = tmp_path / "in"
    small_collections.ieee8023(folder)
    table = folder / "metadata.csv"
    table.write_text(table.read_text(encoding="utf-8") + 'x,"never closed\n', encoding="utf-8")
    origin, place = folder, rf"{table} line"
    if archived:
        origin = tmp_path / "all.tar"
        with tarfile.open(origin, "w") as archive:
            archive.add(folder, "inside")
        place = rf"{origin}: inside/metadata\.csv line"
    with pytest.raises(CxrError, match=rf"^{place} \d+: not CSV"):
        fetch(COLLECTIONS["ieee8023"], tmp_path / "out", Options(), console=console, origin=origin)


def test_a_call_that_failed_goes_on(github, server, tmp_path, console, waits):
    out = tmp_path / "out"
    fifth = "/raw/images/case%204-%C3%A9.jpeg"
    server.next_answers[fifth] = [cut_after(200), always(404)]
    with pytest.raises(FetchError, match="answered 404") as caught:
        fetched(github, out, console, waits)
    assert "case" not in str(caught.value) + console.file.getvalue()  # no image's name
    assert not (out / "manifest.csv").exists()
    there = len(images_asked(server)) - 2
    assert len(list((out / "images").iterdir())) == there
    server.requests.clear()
    fetched(github, out, console, waits)
    assert len(rows_of(out)) == 12
    assert len(images_asked(server)) == 12 - there
    assert server.headers(fifth)[0]["Range"].startswith("bytes=")
    assert len(server.requests) == 12 - there  # table and list were there


def test_an_image_that_is_not_the_published_one(github, server, tmp_path, console, waits):
    name = "/raw/images/case%204-%C3%A9.jpeg"
    server.files[name] = server.files[name][:-1] + b"?"
    with pytest.raises(FetchError, match="not what its source publishes"):
        fetched(github, tmp_path / "out", console, waits)


def test_a_table_that_is_not_that_of_the_commit(github, server, tmp_path, console, waits):
    server.files["/raw/metadata.csv"] = server.files["/raw/metadata.csv"].replace(b"case 3", b"case 2")
    with pytest.raises(FetchError, match="metadata.csv: is not what GitHub lists for this commit; remove it"):
        fetched(github, tmp_path / "out", console, waits)


def test_a_list_that_is_cut_off(github, server, tmp_path, console, waits):
    server.files["/tree"] = server.files["/tree"].replace(b'"truncated": false', b'"truncated": true')
    with pytest.raises(FetchError, match="no whole list"):
        fetched(github, tmp_path / "out", console, waits)


@pytest.fixture
def nih(server, tmp_path, monkeypatch):
    """The NIH collection in two archives: the first eight images, and the others."""
    names = small_collections.nih(tmp_path / "source")
    monkeypatch.setattr(nih_subset, "NIH_PART_IMAGES", (8, 11))
    archives = []
    for number, held in enumerate((names[:8], names[8:]), 1):
        path = tmp_path / f"images_{number:03}.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            for name in held:
                archive.add(tmp_path / "source" / "images" / name, f"images/{name}")
        data = path.read_bytes()
        server.files[f"/{number}.gz"] = data
        archives.append(Remote(path.name, f"{server.url}/{number}.gz", len(data), f"md5:{hashlib.md5(data).hexdigest()}"))
    server.files["/table"] = (tmp_path / "source" / "Data_Entry_2017.csv").read_bytes()
    files = (Remote("Data_Entry_2017_v2020.csv", f"{server.url}/table"),)
    return dataclasses.replace(COLLECTIONS["nih-subset"], files=files, archives=tuple(archives))


def test_nih_subset(nih, server, tmp_path, console, waits):
    out = tmp_path / "out"
    server.next_answers["/2.gz"] = [cut_after(3000)]
    about = fetched(nih, out, console, waits, per_class=6)
    assert about.images == {"normal": 6, "pneumonia": 6}
    for row in rows_of(out):
        assert (out / row["image"]).read_bytes() == (tmp_path / "source" / "images" / row["original"]).read_bytes()
    assert [path.name for path in (out / "fetch" / "nih-subset" / "downloads").iterdir()] == ["Data_Entry_2017_v2020.csv"]


def test_nih_parts(nih, server, tmp_path, console, waits):
    about = fetched(nih, tmp_path / "out", console, waits, parts=(2,), keep_archives=True)
    assert about.images == {"normal": 4, "pneumonia": 4}
    assert about.left_out[nih_subset.OTHER_PART] == 8
    assert server.headers("/1.gz") == []
    assert (tmp_path / "out" / "fetch" / "nih-subset" / "downloads" / "images_002.tar.gz").is_file()


def test_nih_goes_on_with_the_archive_that_failed(nih, server, tmp_path, console, waits):
    server.next_answers["/2.gz"] = [always(404)]
    with pytest.raises(FetchError, match="answered 404"):
        fetched(nih, tmp_path / "out", console, waits)
    server.requests.clear()
    fetched(nih, tmp_path / "out", console, waits)
    assert [path for path, _ in server.requests] == ["/2.gz"]
    assert len(rows_of(tmp_path / "out")) == 16


def test_images_in_another_archive_than_expected_are_found(nih, tmp_path, console, waits, monkeypatch):
    monkeypatch.setattr(nih_subset, "NIH_PART_IMAGES", (5, 14))
    assert fetched(nih, tmp_path / "out", console, waits).images == {"normal": 8, "pneumonia": 8}


def test_parts_hold_the_images_in_the_order_of_their_names():
    assert sum(NIH_PART_IMAGES) == 112_120  # of the collection
    names = [f"{number:08}_000.png" for number in range(112_120)]
    part_of = nih_subset.parts_of(list(reversed(names)))
    assert [part_of[names[position]] for position in (0, 4_998, 4_999, 14_998, 14_999, 112_119)] == [1, 1, 2, 2, 3, 12]


@pytest.fixture
def kaggle(server, tmp_path, monkeypatch):
    """What Kaggle redirects to: a zip of a small collection."""
    monkeypatch.setenv("KAGGLE_API_TOKEN", "KGAT_1")

    def serve(make):
        make(tmp_path / "source")
        archive = shutil.make_archive(str(tmp_path / "archive"), "zip", tmp_path / "source")
        with open(archive, "rb") as stream:
            server.files["/storage.zip"] = stream.read()
        server.next_answers["/kaggle"] = [always(302, Location="/storage.zip")] * 5
        return Remote("archive.zip", f"{server.url}/kaggle", kaggle=True)

    return serve


def test_kaggle_covid(kaggle, tmp_path, console, waits):
    collection = dataclasses.replace(COLLECTIONS["kaggle-covid"], files=(kaggle(small_collections.kaggle_covid),))
    about = fetched(collection, tmp_path / "out", console, waits)
    assert about.images == {"pneumonia": 6, "normal": 6}
    assert list((tmp_path / "out" / "fetch" / "kaggle-covid" / "downloads").iterdir()) == []


def test_covidx(kaggle, server, tmp_path, console, waits):
    archive = kaggle(small_collections.covidx)
    files = []
    for subset in ("train", "test"):
        path = tmp_path / "source" / "labels" / f"{subset}_COVIDx9A.txt"
        server.files[f"/{path.name}"] = path.read_bytes()
        files.append(Remote(path.name, f"{server.url}/{path.name}"))
    collection = dataclasses.replace(COLLECTIONS["covidx"], files=tuple(files), archives=(archive,))
    about = fetched(collection, tmp_path / "out", console, waits)
    assert about.images == {"covid19": 4, "pneumonia": 4, "normal": 4}


def test_two_at_a_time_are_refused(github, tmp_path, console, waits):
    import fcntl
    import os

    (tmp_path / "out" / "fetch").mkdir(parents=True)
    handle = os.open(tmp_path / "out" / "fetch", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(CxrError, match="another process is fetching into it"):
        fetched(github, tmp_path / "out", console, waits)
    os.close(handle)
    fetched(github, tmp_path / "out", console, waits)


def test_addresses_are_encrypted_and_checksums_well_formed():
    for collection in COLLECTIONS.values():
        for remote in (*collection.files, *collection.archives):
            assert remote.url.startswith("https://")
            assert "{" not in remote.url
            if remote.checksum:
                kind, _, value = remote.checksum.partition(":")
                assert len(value) == {"md5": 32, "git": 40}[kind]
        assert collection.image_url.startswith("https://") or collection.archives or collection.name == "kaggle-covid"
        assert collection.licence
        assert collection.citation
