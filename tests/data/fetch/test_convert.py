"""Folders and archives that were downloaded already, and what `cxr ingest` makes of the result."""

import csv
import hashlib
import io
import re
import shutil
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from killed import killed_at

from cxr.core.errors import CxrError, UsageError
from cxr.data.fetch import kaggle_covid
from cxr.data.fetch.catalogue import COLLECTIONS
from cxr.data.fetch.entries import Entry
from cxr.data.fetch.fetch import fetch
from cxr.data.fetch.selection import Options
from cxr.data.ingest import ingest
from cxr.data.ingest.ingest_config import Ingest
from cxr.data.ingest.sources import discover

from . import small_collections


def converted(name, source, out, console, **options):
    return fetch(COLLECTIONS[name], out, Options.model_validate(options), console=console, origin=source)


def rows_of(out):
    with (out / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def ingested(out, tmp_path, console, classes):
    (tmp_path / "key").write_text("0123456789abcdef" * 2)
    config = Ingest(class_names=classes, workers=1)
    return ingest.ingest(str(out), str(tmp_path / "records"), config, key_file=tmp_path / "key", console=console)


def zipped(folder, path):
    return shutil.make_archive(str(path), "zip", folder)


def tarred(folder, path):
    with tarfile.open(f"{path}.tar.gz", "w:gz") as archive:
        archive.add(folder, "covid-chestxray-dataset-6a42423")  # as GitHub names it
    return f"{path}.tar.gz"


def test_ieee8023(tmp_path, console):
    small_collections.ieee8023(tmp_path / "source")
    out = tmp_path / "out"
    about = converted("ieee8023", tmp_path / "source", out, console)
    assert about.images == {"covid19": 4, "pneumonia": 4, "normal": 4}
    assert about.left_out == {
        "no X-ray (CT)": 1,
        "no frontal view": 1,
        "a finding that is none of the three classes": 1,
        "listed twice": 1,
        "listed, but no such file": 1,
    }
    assert about.licences == {"CC BY-NC-SA": 11, "none stated": 1}
    rows = rows_of(out)
    first = next(row for row in rows if row["patient_id"] == "cohen-2")
    assert first | {"image": ""} == {
        "image": "", "label": "covid19", "patient_id": "cohen-2", "source": "cohen", "view": "AP Supine", "sex": "", "age": "54",
        "license": "CC BY-NC-SA", "subset": "", "original": "images/case 2-é.jpeg",
    }  # fmt: skip
    assert next(row for row in rows if row["patient_id"] == "cohen-3")["age"] == ""  # 181 years
    for row in rows:
        assert (out / row["image"]).read_bytes() == (tmp_path / "source" / row["original"]).read_bytes()
        assert "case" not in row["image"]
    dataset = ingested(out, tmp_path, console, ("covid19", "pneumonia", "normal"))
    assert dataset.images == 12
    assert sum(dataset.patients.values()) == 12


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_an_archive_gives_what_its_folder_gives(tmp_path, console, pack):
    small_collections.ieee8023(tmp_path / "source")
    archive = pack(tmp_path / "source", tmp_path / "archive")
    converted("ieee8023", tmp_path / "source", tmp_path / "one", console)
    converted("ieee8023", tmp_path / archive, tmp_path / "other", console)
    assert rows_of(tmp_path / "one") == rows_of(tmp_path / "other")
    for row in rows_of(tmp_path / "one"):
        assert (tmp_path / "one" / row["image"]).read_bytes() == (tmp_path / "other" / row["image"]).read_bytes()


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_what_the_same_call_makes_whole(tmp_path, console):
    """Every seventh of its 140 steps."""

    def tree(folder):  # without what a killed process was writing, which goes an hour later
        drafts = re.compile(r"\..*\.[0-9a-f]{32}")
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*.*")
            if path.is_file() and not drafts.match(path.name)
        }

    small_collections.ieee8023(tmp_path / "source")
    converted("ieee8023", tmp_path / "source", tmp_path / "whole", console)
    whole, step, out = tree(tmp_path / "whole"), 0, tmp_path / "out"
    while killed_at(step, lambda: converted("ieee8023", tmp_path / "source", out, console)):
        if (out / "manifest.csv").exists():
            assert all((out / row["image"]).is_file() for row in rows_of(out))
        converted("ieee8023", tmp_path / "source", out, console)
        assert tree(out) == whole
        assert not list((out / "images").glob(".*"))
        shutil.rmtree(out)
        step += 7
    assert step > 70


def test_licensed_only(tmp_path, console):
    small_collections.ieee8023(tmp_path / "source")
    about = converted("ieee8023", tmp_path / "source", tmp_path / "out", console, licensed_only=True)
    assert about.images == {"covid19": 3, "pneumonia": 4, "normal": 4}
    assert about.left_out["no licence stated"] == 1


def test_kaggle_covid(tmp_path, console):
    small_collections.kaggle_covid(tmp_path / "source")
    archive = zipped(tmp_path / "source", tmp_path / "archive")
    about = converted("kaggle-covid", tmp_path / archive, tmp_path / "out", console)
    assert about.images == {"pneumonia": 6, "normal": 6}
    assert about.left_out == {"no image by its name": 1}
    rows = rows_of(tmp_path / "out")
    assert len({row["image"] for row in rows}) == 12  # although train and test have the same names
    assert Counter((row["subset"], row["license"]) for row in rows if row["label"] == "normal") == {
        ("kaggle-train", "CC BY 4.0"): 3,
        ("kaggle-test", "CC BY 4.0"): 3,
    }
    assert {row["patient_id"] for row in rows} == {"kermany-IM-0000", "kermany-IM-0001", "kermany-IM-0002", ""}
    dataset = ingested(tmp_path / "out", tmp_path, console, ("pneumonia", "normal"))
    assert dataset.images == 12


def test_covidx(tmp_path, console):
    small_collections.covidx(tmp_path / "source")
    about = converted("covidx", tmp_path / "source", tmp_path / "out", console)
    assert about.images == {"covid19": 4, "pneumonia": 4, "normal": 4}
    assert about.left_out == {}
    rows = rows_of(tmp_path / "out")
    assert Counter(row["source"] for row in rows) == {"cohen": 4, "rsna": 8}  # rnsa is a slip of the list's
    assert Counter(row["subset"] for row in rows) == {"covidx-train": 9, "covidx-test": 3}
    assert next(row["patient_id"] for row in rows if row["label"] == "covid19") == "cohen-p0C"  # as in ieee8023
    dataset = ingested(tmp_path / "out", tmp_path, console, ("covid19", "pneumonia", "normal"))
    assert dataset.images == 12


def test_covidx_with_two_classes_only(tmp_path, console):
    small_collections.covidx(tmp_path / "source")
    for path in (tmp_path / "source" / "labels").glob("*A.txt"):
        path.unlink()
    about = converted("covidx", tmp_path / "source", tmp_path / "out", console)
    assert about.images == {"covid19": 4}
    assert about.left_out == {"labelled 'negative' only, pneumonia or not": 8}


def test_covidx_says_which_list_is_not_there(tmp_path, console):
    small_collections.covidx(tmp_path / "source")
    for path in (tmp_path / "source" / "labels").glob("test_*"):
        path.unlink()
    about = converted("covidx", tmp_path / "source", tmp_path / "out", console)
    assert about.images == {"covid19": 3, "pneumonia": 3, "normal": 3}
    assert about.left_out == {"in the folder test, without a list of labels": 3}
    assert about.remark.startswith(f"{COLLECTIONS['covidx'].remark}; there is no test_COVIDx….txt")
    assert converted("covidx", tmp_path / "source", tmp_path / "out", console).remark == about.remark  # done already


def test_a_fetch_that_has_not_ended_is_said(tmp_path, console):
    small_collections.covidx(tmp_path / "covidx")
    small_collections.kaggle_covid(tmp_path / "kaggle")
    (tmp_path / "covidx" / "labels" / "test_COVIDx9A.txt").write_text("no list\n")
    out, classes = tmp_path / "out", ("pneumonia", "normal")
    with pytest.raises(CxrError, match="list of labels"):
        converted("covidx", tmp_path / "covidx", out, console)
    with pytest.raises(CxrError, match=f"{out}: `cxr fetch covidx` into it has not ended, and wrote no manifest.csv yet; call it again"):
        discover(out, Ingest(class_names=classes))
    converted("kaggle-covid", tmp_path / "kaggle", out, console)
    said = "`cxr fetch covidx` into this folder has not ended: images of it are missing; call it again"
    assert said in discover(out, Ingest(class_names=classes))[1]
    shutil.copy(out / "manifest.csv", out / "mine.csv")
    assert said not in discover(out / "mine.csv", Ingest(class_names=classes))[1]
    shutil.rmtree(out / "fetch" / "covidx")
    assert said not in discover(out, Ingest(class_names=classes))[1]


def test_covidx_names_list_and_line(tmp_path, console):
    small_collections.covidx(tmp_path / "source")
    (tmp_path / "source" / "labels" / "test_COVIDx9A.txt").write_text("1 a.png normal rsna\nDOE JOHN\n")
    with pytest.raises(CxrError, match="test, line 2") as caught:
        converted("covidx", tmp_path / "source", tmp_path / "out", console)
    assert "DOE" not in str(caught.value)
    shutil.rmtree(tmp_path / "source" / "labels")
    with pytest.raises(CxrError, match="put the lists of COVID-Net's folder `labels` beside"):
        converted("covidx", tmp_path / "source", tmp_path / "out", console)


def test_nih_subset(tmp_path, console):
    small_collections.nih(tmp_path / "source")
    about = converted("nih-subset", tmp_path / "source", tmp_path / "out", console)
    assert about.images == {"normal": 8, "pneumonia": 8}
    assert about.left_out == {"a finding that is none of the three classes": 3}
    row = next(row for row in rows_of(tmp_path / "out") if row["original"] == "00000002_001.png")
    assert row | {"image": ""} == {
        "image": "", "label": "pneumonia", "patient_id": "nih-00000002", "source": "nih", "view": "AP", "sex": "M", "age": "58",
        "license": "NIH Clinical Center, unrestricted", "subset": "", "original": "00000002_001.png",
    }  # fmt: skip
    assert {row["age"] for row in rows_of(tmp_path / "out") if row["patient_id"] == "nih-00000001"} == {""}  # 414 years
    dataset = ingested(tmp_path / "out", tmp_path, console, ("pneumonia", "normal"))
    assert dataset.images == 16
    assert sum(dataset.patients.values()) == 8


def test_nih_subset_is_drawn(tmp_path, console):
    small_collections.nih(tmp_path / "source")

    def drawn(name, **options):
        converted("nih-subset", tmp_path / "source", tmp_path / name, console, **options)
        return {row["original"] for row in rows_of(tmp_path / name)}

    small, large, other = drawn("a", per_class=2), drawn("b", per_class=5), drawn("c", per_class=5, seed=1)
    assert len(small) == 4
    assert small < large
    assert large != other
    assert len(large) == len(other) == 10


def test_several_collections_in_one_folder(tmp_path, console):
    small_collections.ieee8023(tmp_path / "cohen")
    small_collections.nih(tmp_path / "nih")
    out = tmp_path / "out"
    converted("ieee8023", tmp_path / "cohen", out, console)
    converted("nih-subset", tmp_path / "nih", out, console, per_class=3)
    assert Counter(row["source"] for row in rows_of(out)) == {"cohen": 12, "nih": 6}
    dataset = ingested(out, tmp_path, console, ("covid19", "pneumonia", "normal"))
    assert dataset.images == 18


def test_a_second_call_does_nothing(tmp_path, console):
    small_collections.ieee8023(tmp_path / "source")
    out = tmp_path / "out"
    first = converted("ieee8023", tmp_path / "source", out, console)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert converted("ieee8023", tmp_path / "source", out, console) == first
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


@pytest.fixture
def interrupt(monkeypatch):
    """Returns a function that converts, and is interrupted after so many files."""

    def run(count, *arguments, **options):
        copy = Entry.copy
        left = [count]

        def interrupted(entry, target):
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            copy(entry, target)

        with monkeypatch.context() as patch:
            patch.setattr(Entry, "copy", interrupted)
            with pytest.raises(KeyboardInterrupt):
                converted(*arguments, **options)

    return run


def test_an_interrupted_call_goes_on(tmp_path, console, interrupt):
    small_collections.ieee8023(tmp_path / "source")
    out = tmp_path / "out"
    interrupt(5, "ieee8023", tmp_path / "source", out, console)
    assert not (out / "manifest.csv").exists()
    kept = {path: path.stat().st_mtime_ns for path in (out / "images").iterdir()}
    assert len(kept) == 4  # and the table
    converted("ieee8023", tmp_path / "source", out, console)
    assert len(rows_of(out)) == 12
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_what_an_interrupted_call_with_other_options_left_is_not_kept(tmp_path, console, interrupt):
    small_collections.nih(tmp_path / "source")
    out = tmp_path / "out"
    interrupt(7, "nih-subset", tmp_path / "source", out, console, seed=1, per_class=4)
    converted("nih-subset", tmp_path / "source", out, console, per_class=2)
    assert sorted(f"images/{path.name}" for path in (out / "images").iterdir()) == sorted(row["image"] for row in rows_of(out))


def test_images_of_two_folders_are_not_mixed(tmp_path, console, interrupt):
    small_collections.nih(tmp_path / "one")
    small_collections.nih(tmp_path / "other")
    for seed, path in enumerate(sorted((tmp_path / "other" / "images").iterdir())):
        path.write_bytes(small_collections.picture(500 + seed))
    out = tmp_path / "out"
    interrupt(7, "nih-subset", tmp_path / "one", out, console)
    converted("nih-subset", tmp_path / "other", out, console)
    for row in rows_of(out):
        assert (out / row["image"]).read_bytes() == (tmp_path / "other" / "images" / row["original"]).read_bytes()


def test_images_that_were_removed_come_back(tmp_path, console):
    small_collections.ieee8023(tmp_path / "source")
    out = tmp_path / "out"
    converted("ieee8023", tmp_path / "source", out, console)
    (out / rows_of(out)[0]["image"]).unlink()
    converted("ieee8023", tmp_path / "source", out, console)
    assert all((out / row["image"]).is_file() for row in rows_of(out))


def test_what_is_there_is_not_replaced(tmp_path, console):
    small_collections.nih(tmp_path / "source")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "manifest.csv").write_text("image,label\n")
    with pytest.raises(UsageError, match="was not made by `cxr fetch`; name another folder"):
        converted("nih-subset", tmp_path / "source", tmp_path / "mine", console)
    converted("nih-subset", tmp_path / "source", tmp_path / "out", console)
    digest = hashlib.sha256((tmp_path / "out" / "manifest.csv").read_bytes()).digest()
    with pytest.raises(UsageError, match="with other options .*seed=0.*; name another folder"):
        converted("nih-subset", tmp_path / "source", tmp_path / "out", console, seed=1)
    assert hashlib.sha256((tmp_path / "out" / "manifest.csv").read_bytes()).digest() == digest


def test_the_wrong_folder(tmp_path, console):
    small_collections.nih(tmp_path / "source")
    with pytest.raises(CxrError, match=r"no metadata\.csv in it"):
        converted("ieee8023", tmp_path / "source", tmp_path / "out", console)
    with pytest.raises(UsageError, match="no such folder or archive"):
        converted("ieee8023", tmp_path / "nowhere", tmp_path / "out", console)
    with pytest.raises(UsageError, match="is no folder and none of the archives"):
        converted("ieee8023", tmp_path / "source" / "Data_Entry_2017.csv", tmp_path / "out", console)
    shutil.rmtree(tmp_path / "source" / "images")
    with pytest.raises(CxrError, match="none of the images that it lists"):
        converted("nih-subset", tmp_path / "source", tmp_path / "out", console)


def test_a_damaged_archive(tmp_path, console):
    small_collections.kaggle_covid(tmp_path / "source")
    path = tmp_path / zipped(tmp_path / "source", tmp_path / "archive")
    whole = tmp_path / tarred(tmp_path / "source", tmp_path / "archive")
    path.write_bytes(path.read_bytes()[:-2000])
    whole.write_bytes(whole.read_bytes()[:-2000])
    for archive in (path, whole):
        with pytest.raises(CxrError, match="is damaged, cut off"):
            converted("kaggle-covid", archive, tmp_path / "out", console)
    assert not (tmp_path / "out" / "manifest.csv").exists()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "")
    with pytest.raises(CxrError, match="none of its images can be used .1 no image by its name.; is it the right collection"):
        converted("kaggle-covid", path, tmp_path / "out", console)
    converted("kaggle-covid", tmp_path / "source", tmp_path / "out", console)  # what failed does not stand in the way
    assert len(rows_of(tmp_path / "out")) == 12


def test_the_pneumonia_half_of_the_childrens_set_names_its_patients_too():
    names = ["person1_bacteria_1.jpeg", "person1_bacteria_2.jpeg", "person1_virus_6.jpeg", "person12_virus_46.jpeg", "personal.jpeg"]
    found = kaggle_covid.select(
        lambda: iter([Entry(f"train/PNEUMONIA/{name}", Path(), io.BytesIO) for name in names]), Options(), Path()
    ).candidates
    assert [one.patient_id for one in found] == ["kermany-person1"] * 3 + ["kermany-person12", ""]
    assert [one.license for one in found] == ["CC BY 4.0"] * 4 + [""]


def test_an_image_is_not_fetched_again_from_a_longer_path_that_ends_alike(tmp_path, console):
    for number, folder in enumerate(("A/NORMAL", "NORMAL", "COVID")):
        small_collections.write(tmp_path / "source" / folder / "1.png", small_collections.picture(number))
    out = tmp_path / "out"
    converted("kaggle-covid", tmp_path / "source", out, console)
    before = {path.name: path.read_bytes() for path in (out / "images").iterdir()}
    for name, content in before.items():
        (out / "images" / name).unlink()
        converted("kaggle-covid", tmp_path / "source", out, console)
        assert (out / "images" / name).read_bytes() == content
