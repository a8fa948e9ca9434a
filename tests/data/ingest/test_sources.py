import errno
import os
from pathlib import Path

import pytest

from cxr.core import features
from cxr.core.errors import CxrError
from cxr.data.ingest.ingest_config import Ingest
from cxr.data.ingest.private_lists import BadRows, write_problems
from cxr.data.ingest.sources import discover, is_uri

CONFIG = Ingest()


@pytest.fixture
def tree(tmp_path, make_image):
    """Two images per class."""
    for k, name in enumerate(features.CLASS_NAMES):
        make_image(tmp_path / "tree" / name / "a.png", 2 * k)
        make_image(tmp_path / "tree" / name / "deeper" / "b.jpg", 2 * k + 1)
    return tmp_path / "tree"


def test_tree(tree):
    (tree / "normal" / ".hidden").write_text("x")
    (tree / "README.txt").write_text("beside the classes: not data")
    rows, warnings, _ = discover(tree, CONFIG)
    expected = {(f"{name}/{file}", name) for name in features.CLASS_NAMES for file in ("a.png", "deeper/b.jpg")}
    assert {(row.name, row.label) for row in rows} == expected
    assert not warnings
    assert all(row.unit == f"image:{row.name}" for row in rows)


def test_tree_with_splits(tree, tmp_path):
    top = tmp_path / "split"
    top.mkdir()
    tree.rename(top / "train")
    rows = discover(top, CONFIG).rows
    assert {row.split for row in rows} == {"train"}
    (top / "extra").mkdir()
    with pytest.raises(CxrError, match=r"split: 1 other folder stands beside 'train'"):
        discover(top, CONFIG)


def test_images_beside_the_class_folders_are_warned_of(tree, tmp_path, make_image):
    """They were passed over without a word."""
    for name in ("notes.txt", "labels.csv", "._a.png", "Thumbs.db", ".hidden.png"):
        (tree / name).write_text("no image, or none that is meant")
    os.mkfifo(tree / "pipe.png")
    assert not discover(tree, CONFIG).notes
    (tree / "pipe.png").unlink()
    make_image(tree / "SECRET.jpg", 50)
    make_image(tree / "SECRET2.png", 51).rename(tree / "1.2.840.10008")
    rows, (note,), _ = discover(tree, CONFIG)
    assert len(rows) == 6
    said = "images stand beside the folders in it, without a class, and not read; move each into the folder of its class"
    assert note == f"{tree}: 2 {said}"
    top = tmp_path / "split"
    top.mkdir()
    tree.rename(top / "train")
    make_image(top / "a.png", 52)
    notes = discover(top, CONFIG).notes
    assert notes == [f"{top}: 1 {said.replace('images stand', 'image stands')}", f"{top / 'train'}: 2 {said}"]
    assert not discover(top, CONFIG, labels=False).notes  # takes them all


def test_tree_with_an_unknown_folder(tree):
    (tree / "tuberculosis").mkdir()
    with pytest.raises(CxrError, match=r"tree: 1 of 4 folders is named after no class; it needs .*covid19, pneumonia, normal") as error:
        discover(tree, CONFIG)
    assert "tuberculosis" not in str(error.value)  # the next one's folders are named after patients
    (tree / "tuberculosis").rename(tree / "Normal")
    with pytest.raises(CxrError, match=r"did you mean 'normal'\?"):
        discover(tree, CONFIG)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("DOE.xlsx", r"; if the \.xlsx file in .*pacs is the manifest, save it there as manifest\.csv \('CSV UTF-8'\)$"),
        ("Manifest.CSV", r"; if a table in .*pacs is the manifest, call it manifest\.csv, or name it in place of the folder$"),
        ("DOE.txt", r"(data\.class_names=\[…\]|train, val and test)$"),
    ],
)
def test_a_manifest_of_another_name_or_kind_is_pointed_out(tmp_path, name, remedy):
    """A folder `images` beside it was told to be renamed after a class."""
    (tmp_path / "pacs").mkdir()
    (tmp_path / "pacs" / name).write_text("image,label\n")
    with pytest.raises(CxrError, match="neither manifest.csv nor folders in it; .*" + remedy) as error:
        discover(tmp_path / "pacs", CONFIG)
    (tmp_path / "pacs" / "images").mkdir()
    with pytest.raises(CxrError, match="1 of 1 folder is named after no class; .*" + remedy) as other:
        discover(tmp_path / "pacs", CONFIG)
    assert "DOE" not in f"{error.value}{other.value}"


def test_empty_class(tree):
    for file in (tree / "normal").rglob("*.*"):
        file.unlink()
    with pytest.raises(CxrError, match=r"tree: class 'normal' has no images; .*data\.class_names=\[covid19,pneumonia\]"):
        discover(tree, CONFIG)


def test_images_of_one_class_get_no_remedy_that_is_refused_next(tree):
    """It told to leave out one missing class after the other, until one was left, which is refused."""
    for name in ("normal", "pneumonia"):
        for file in (tree / name).rglob("*.*"):
            file.unlink()
    with pytest.raises(CxrError, match="the classes 'pneumonia', 'normal' have no images; add some.*`cxr evaluate`") as error:
        discover(tree, CONFIG)
    assert "class_names" not in str(error.value)


def test_same_file_under_two_names(tree):
    (tree / "normal" / "link.png").symlink_to(tree / "normal" / "a.png")
    with pytest.raises(BadRows, match=r"1 image is listed twice.*\n  normal file 3 \(first: normal file 1\)") as error:
        discover(tree, CONFIG)
    assert [r.name for r in error.value.rows] == ["normal/a.png", "normal/link.png"]


def test_where_needs_a_manifest(tree):
    with pytest.raises(CxrError, match="where"):
        discover(tree, Ingest(where={"subset": "main"}))


@pytest.mark.parametrize("name", ["none", "empty"])
def test_nothing_there(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CxrError, match=name):
        discover(tmp_path / name, CONFIG)


def row(**values):
    return {"image": "a.png", "label": "normal"} | values


OTHERS = [row(image="c.png", label="covid19"), row(image="p.png", label="pneumonia")]


def test_manifest(tmp_path, make_manifest):
    first = row(image="in/a.png", patient_id=" P,1 ", split="test", source="s", view="ap", sex="m", age="7", license="CC0", subset="main")
    make_manifest(tmp_path, [first, *OTHERS])
    rows = discover(tmp_path, CONFIG).rows  # a folder that holds manifest.csv
    a = rows[0]
    assert (a.label, a.patient, a.split, a.source, a.view, a.sex, a.age, a.license) == ("normal", "P,1", "test", "s", "AP", "M", 7, "CC0")
    assert (rows[1].patient, rows[1].view, rows[1].sex, rows[1].age) == ("", "unknown", "unknown", None)
    assert a.path == str(tmp_path / "in" / "a.png")


def test_where(tmp_path, make_manifest):
    rows = [row(subset="main"), row(image="b.png", subset="other"), *(other | {"subset": "main"} for other in OTHERS)]
    manifest = make_manifest(tmp_path, rows)
    assert [r.name for r in discover(manifest, Ingest(where={"subset": "main"}))[0]] == ["a.png", "c.png", "p.png"]
    with pytest.raises(CxrError, match="where colour=red: .* has no such column; it has image"):
        discover(manifest, Ingest(where={"colour": "red"}))
    with pytest.raises(CxrError, match="the classes 'covid19', 'pneumonia' have no images, where subset=other; add some"):
        discover(manifest, Ingest(where={"subset": "other"}))
    with pytest.raises(CxrError, match=r"manifest\.csv: no row matches subset=none$"):
        discover(manifest, Ingest(where={"subset": "none"}))
    with pytest.raises(CxrError, match=r"no row matches subset=Main; 3 rows that are left out differ from it in case or blanks only"):
        discover(manifest, Ingest(where={"subset": "Main"}))


def test_where_tells_how_many_rows_it_left_out_and_which_may_be_meant(tmp_path, make_manifest):
    rows = [row(subset="main"), row(image="b.png", subset="Main"), *(other | {"subset": "main"} for other in OTHERS)]
    rows.append(row(image="e.png", subset="other", label="SECRET"))  # nobody asks for it
    manifest = make_manifest(tmp_path, rows)
    found = discover(manifest, Ingest(where={"subset": "main"}))
    assert found.other_rows == 2
    assert found.notes == [
        "where subset=main: 1 row that is left out differs from it in case or blanks only, which count in that column: write one value in "
        "one way"
    ]
    rows[2]["subset"] = "MAIN"
    make_manifest(tmp_path, rows)
    with pytest.raises(CxrError, match="class 'covid19' has no images, where subset=main; .*; 2 rows that are left out differ from it"):
        discover(manifest, Ingest(where={"subset": "main"}))
    assert discover(make_manifest(tmp_path / "all", [row(), *OTHERS]), CONFIG).other_rows == 0


def test_a_manifest_of_a_header_alone(tmp_path):
    (tmp_path / "m.csv").write_text("image,label\n")
    with pytest.raises(CxrError, match=r"m\.csv: holds no images$"):
        discover(tmp_path / "m.csv", CONFIG)


@pytest.mark.parametrize(
    ("bad", "match"),
    [
        ({"label": ""}, "line 2: column 'label' is empty; it must be one of the classes covid19, pneumonia, normal"),
        ({"label": "SECRET"}, "line 2: the label is none of the classes covid19, pneumonia, normal; correct it, or set data.class_names="),
        ({"label": "Normal"}, r"line 2: the label is none of .* \(did you mean 'normal'\?\)"),
        ({"split": "SECRET"}, "line 2: the split must be train, val, test or empty"),
        ({"age": "300"}, "line 2: age must lie between 0 and 120"),
        ({"age": "SECRET"}, "line 2: age must be years"),
        ({"sex": "SECRET"}, "line 2: sex must be M, F, O or empty"),
    ],
)
def test_wrong_value_names_file_and_line_and_not_itself(tmp_path, make_manifest, bad, match):
    manifest = make_manifest(tmp_path, [row(**bad), *OTHERS])
    with pytest.raises(CxrError, match=rf"manifest\.csv {match}") as error:
        discover(manifest, CONFIG)
    assert "SECRET" not in str(error.value)  # values slip into wrong columns, and some of them are names


def test_all_wrong_rows_are_named_at_once(tmp_path, make_manifest):
    manifest = make_manifest(tmp_path, [row(label="SECRET"), row(image="b.png", age="300"), *OTHERS])
    with pytest.raises(BadRows) as error:
        discover(manifest, CONFIG)
    first, *places = str(error.value).splitlines()
    assert first == f"2 rows of {manifest} cannot be used:"
    assert [" line 2: the label is none" in places[0], " line 3: age must lie between 0 and 120" in places[1]] == [True, True]
    assert [bad.name for bad in error.value.rows] == ["a.png", "b.png"]


def test_a_pipe_is_no_missing_image(tree):
    os.mkfifo(tree / "normal" / "pipe.png")
    with pytest.raises(BadRows, match="1 image is no regular file, but a folder, a pipe or the like; take out what is none"):
        discover(tree, CONFIG)


def test_images_in_a_folder_that_may_not_be_entered_are_not_said_to_be_missing(tmp_path, make_manifest, monkeypatch):
    """root, who runs these tests, may enter every folder."""
    manifest, stat = make_manifest(tmp_path, [row(), *OTHERS]), os.stat

    def closed(path, *arguments, **options):
        if str(path).endswith("c.png"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return stat(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", closed)
    with pytest.raises(BadRows, match=r"1 image lies in folders that may not be entered; have the permission given"):
        discover(manifest, CONFIG)


def test_missing_files_are_named_with_lines(tmp_path, make_manifest):
    manifest = make_manifest(tmp_path, [row(), *OTHERS])
    (tmp_path / "c.png").unlink()
    with pytest.raises(BadRows, match=r"1 image is not there.*\n  .*manifest\.csv line 3$") as error:
        discover(manifest, CONFIG)
    assert [r.name for r in error.value.rows] == ["c.png"]


@pytest.mark.parametrize("way", ["../out/x.png", "ABSOLUTE", "link.png", "linked/x.png"])
def test_paths_that_lead_out_need_a_switch(tmp_path, make_manifest, make_image, way):
    outside = make_image(tmp_path / "out" / "x.png")
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "link.png").symlink_to(outside)
    (folder / "linked").symlink_to(outside.parent)
    manifest = make_manifest(folder, [*OTHERS, row(image=str(outside) if way == "ABSOLUTE" else way)])
    with pytest.raises(BadRows, match=r"1 image lies outside .*data\.paths_outside=allow:\n  .*manifest\.csv line 4$"):
        discover(manifest, CONFIG)
    assert len(discover(manifest, Ingest(paths_outside="allow"))[0]) == 3


def test_paths_that_lead_out_and_back_are_inside(tmp_path, make_manifest):
    assert len(discover(make_manifest(tmp_path / "in", [*OTHERS, row(image="../in/./a.png")]), CONFIG)[0]) == 3


def test_links_out_of_a_tree_need_the_switch_and_rings_end(tree, tmp_path, make_image):
    (tree / "normal" / "ring").symlink_to(tree / "normal")
    (tree / "normal" / "backup").symlink_to(tree)  # has the images of all classes
    (tree / "normal" / "further").symlink_to(tree.parent)
    assert len(discover(tree, CONFIG)[0]) == 6
    make_image(tmp_path / "elsewhere" / "x.png", 77)
    (tree / "normal" / "more").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadRows, match=r"1 image lies outside .*\n  normal file 3"):
        discover(tree, CONFIG)
    assert len(discover(tree, Ingest(paths_outside="allow"))[0]) == 7


def test_a_link_that_leads_nowhere_is_called_one(tree):
    (tree / "normal" / "gone.png").symlink_to(tree / "normal" / "nothing.png")
    with pytest.raises(BadRows, match="1 image is linked to what is not there; mend the links or remove them"):
        discover(tree, CONFIG)


@pytest.mark.parametrize("place", [b"\xff.png", b"M\xfcller/a.png"])
def test_names_that_are_no_utf_8_are_refused_and_listed(tree, tmp_path, make_image, place):
    path = Path(os.fsdecode(os.path.join(os.fsencode(tree / "normal"), place)))
    make_image(path, 77)
    with pytest.raises(BadRows, match=r"names of 1 image,.* are no UTF-8; rename them .*\n  normal file") as caught:
        discover(tree, CONFIG)
    assert write_problems(tmp_path / "records", caught.value)
    assert r"normal/\udcff.png" in (listed := (tmp_path / "records.private/problems.csv").read_text()) or r"M\udcfcller/a.png" in listed


def test_clutter_of_file_managers_is_no_data(tree, tmp_path, make_manifest):
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "._a.png", "DICOMDIR"):
        (tree / "normal" / name).write_bytes(b"clutter")
    (tree / "__MACOSX").mkdir()
    (tree / "normal" / "@eaDir").mkdir()
    (tree / "normal" / "@eaDir" / "SYNO_THUMB.png").write_bytes(b"clutter")
    (tree / "normal" / "notes.txt").write_text("not clutter: it becomes a reject that is listed")
    assert sorted(r.name for r in discover(tree, CONFIG)[0] if r.label == "normal") == [
        "normal/a.png", "normal/deeper/b.jpg", "normal/notes.txt",
    ]  # fmt: skip
    manifest = make_manifest(tmp_path / "m", [*OTHERS, row(), row(image="x/._a.png")])
    manifest.write_text(manifest.read_text() + "Thumbs.db,normal\n")
    assert len(discover(manifest, CONFIG)[0]) == 3


def test_a_folder_that_cannot_be_listed_loses_nothing_quietly(tree, monkeypatch):
    import os

    real = os.scandir

    def refuse(path):
        if str(path).endswith("deeper"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)  # tests may run as root, whom no permission stops
    with pytest.raises(CxrError, match=r"cannot be listed \(Permission denied\)"):
        discover(tree, CONFIG)


def test_uris():
    assert is_uri("gs://bucket/records")
    assert not is_uri("records/of:us")


def test_listed_twice_is_refused_or_makes_one_patient(tmp_path, make_manifest):
    rows = [
        row(patient_id="1"),
        row(image="./a.png", patient_id="2"),
        row(image="b.png", patient_id="2"),
        row(image="d.png", patient_id="3"),
        *OTHERS,
    ]
    manifest = make_manifest(tmp_path, rows)
    with pytest.raises(BadRows, match=r"set data.listed_twice=merge .*\n  .*line 3 \(first: .*line 2\)$"):
        discover(manifest, CONFIG)
    with pytest.raises(BadRows, match="set --listed-twice merge"):
        discover(manifest, CONFIG, lambda name, value: f"--{name.replace('_', '-')} {value}")
    found, warnings, _ = discover(manifest, Ingest(listed_twice="merge"))
    assert [r.patient for r in found] == ["1", "1", "3", "", ""]
    assert warnings == ["1 path was listed twice and is read once; 1 patient id was another id of the same person"]


def test_what_only_the_second_row_knows_is_kept_and_a_contradiction_is_told(tmp_path, make_manifest):
    rows = [row(sex="F", view=""), row(sex="M", view="PA", age="40", license="CC0"), row(sex="M"), *OTHERS]
    (first, *_), warnings, _ = discover(make_manifest(tmp_path, rows), Ingest(listed_twice="merge"))
    assert (first.sex, first.view, first.age, first.license) == ("F", "PA", 40, "CC0")
    assert warnings == ["2 paths were listed twice and are read once; where they contradict each other the first counts (sex 1)"]


def test_listed_twice_under_two_labels_is_never_merged(tmp_path, make_manifest):
    manifest = make_manifest(tmp_path, [row(), row(label="covid19"), *OTHERS])
    found, warnings, _ = discover(manifest, Ingest(listed_twice="merge"))
    assert [r.label for r in found if r.name == "a.png"] == ["normal", "covid19"]  # a label conflict: tests of same_pictures
    assert warnings == []
    with pytest.raises(CxrError, match="another label"):
        discover(manifest, Ingest(listed_twice="merge", near_duplicates="ignore"))


def test_dicom_header_fills_what_the_manifest_leaves_open(tmp_path, make_manifest):
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset

    dataset = FileDataset(None, {}, file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID, dataset.file_meta.MediaStorageSOPInstanceUID = "1.2", "1.2.3"
    dataset.PatientID, dataset.PatientSex, dataset.PatientAge, dataset.ViewPosition = "MRN-1", "F", "006M", "ap"
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    dataset.save_as(tmp_path / "a.png", enforce_file_format=True)
    dataset.PatientAge, dataset.PatientSex = "999Y", "X"
    dataset.save_as(tmp_path / "b", enforce_file_format=True)
    dataset.PatientAge, dataset.ViewPosition = "044Y", "DOE^JANE"
    dataset.save_as(tmp_path / "e", enforce_file_format=True)
    (tmp_path / "c.dcm").write_bytes(b"broken")
    rows = [row(image="a.dcm"), row(image="b", patient_id="stated", view="PA"), row(image="c.dcm")]
    rows += [row(image="a.png"), row(image="e"), *OTHERS]
    found = discover(make_manifest(tmp_path, rows), CONFIG).rows
    assert (found[0].patient, found[0].view, found[0].sex, found[0].age) == ("MRN-1", "AP", "F", 0.5)
    assert (found[1].patient, found[1].view, found[1].sex, found[1].age) == ("stated", "PA", "unknown", None)
    assert (found[2].patient, found[2].age) == ("", None)
    assert (found[3].patient, found[3].sex) == ("MRN-1", "F")  # whatever the file is called
    assert (found[4].sex, found[4].age) == ("unknown", 44)  # nonsense in one tag costs no other
    assert found[4].view == "unknown"  # anything is written into tags, and records have it
