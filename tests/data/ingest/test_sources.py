import pytest

from cxr.core import features
from cxr.core.errors import CxrError
from cxr.data.ingest.ingest_config import Ingest
from cxr.data.ingest.sources import discover

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
    rows, warnings = discover(tree, CONFIG)
    expected = {(f"{name}/{file}", name) for name in features.CLASS_NAMES for file in ("a.png", "deeper/b.jpg")}
    assert {(row.name, row.label) for row in rows} == expected
    assert not warnings
    assert all(row.unit == f"image:{row.name}" for row in rows)


def test_tree_with_splits(tree, tmp_path):
    top = tmp_path / "split"
    top.mkdir()
    tree.rename(top / "train")
    rows, _ = discover(top, CONFIG)
    assert {row.split for row in rows} == {"train"}
    (top / "extra").mkdir()
    with pytest.raises(CxrError, match=r"extra: stands beside train"):
        discover(top, CONFIG)


def test_tree_with_an_unknown_folder(tree):
    (tree / "tuberculosis").mkdir()
    with pytest.raises(CxrError, match=r"tuberculosis: label 'tuberculosis' is none of the classes covid19, pneumonia, normal"):
        discover(tree, CONFIG)


def test_empty_class(tree):
    for file in (tree / "normal").rglob("*.*"):
        file.unlink()
    with pytest.raises(CxrError, match=r"tree: class 'normal' has no images"):
        discover(tree, CONFIG)


def test_same_file_under_two_names(tree):
    (tree / "normal" / "link.png").symlink_to(tree / "normal" / "a.png")
    with pytest.raises(CxrError, match=r"link\.png.* is listed twice \(first: .*a\.png"):
        discover(tree, CONFIG)


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
    first = row(image="in/a.png", patient_id=" P,1 ", split="test", source="s", view="ap", sex="m", age="7", subset="main")
    make_manifest(tmp_path, [first, *OTHERS])
    rows, _ = discover(tmp_path, CONFIG)  # a folder that holds manifest.csv
    a = rows[0]
    assert (a.label, a.patient, a.split, a.source, a.view, a.sex, a.age) == ("normal", "P,1", "test", "s", "AP", "M", 7)
    assert (rows[1].patient, rows[1].view, rows[1].sex, rows[1].age) == ("", "unknown", "unknown", None)
    assert a.path == str(tmp_path / "in" / "a.png")


def test_where(tmp_path, make_manifest):
    rows = [row(subset="main"), row(image="b.png", subset="other"), *(other | {"subset": "main"} for other in OTHERS)]
    manifest = make_manifest(tmp_path, rows)
    assert [r.name for r in discover(manifest, Ingest(where={"subset": "main"}))[0]] == ["a.png", "c.png", "p.png"]
    with pytest.raises(CxrError, match="where colour=red: .* has no such column; it has image"):
        discover(manifest, Ingest(where={"colour": "red"}))
    with pytest.raises(CxrError, match="class 'covid19' has no images, where subset=other"):
        discover(manifest, Ingest(where={"subset": "other"}))


@pytest.mark.parametrize(
    ("bad", "match"),
    [
        ({"label": "flu"}, "line 2: label 'flu'"),
        ({"label": ""}, "line 2: label ''"),
        ({"split": "validation"}, "line 2: split 'validation'"),
        ({"age": "300"}, "line 2: age '300'"),
        ({"sex": "x"}, "line 2: sex 'x'"),
    ],
)
def test_wrong_value_names_file_and_line(tmp_path, make_manifest, bad, match):
    manifest = make_manifest(tmp_path, [row(**bad), *OTHERS])
    with pytest.raises(CxrError, match=rf"manifest\.csv {match}"):
        discover(manifest, CONFIG)


def test_missing_files_are_named_with_lines(tmp_path, make_manifest):
    manifest = make_manifest(tmp_path, [row(), *OTHERS])
    (tmp_path / "c.png").unlink()
    with pytest.raises(CxrError, match=r"1 images are not there.*\n  .*manifest\.csv line 3: c\.png"):
        discover(manifest, CONFIG)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("label,patient_id\n", "line 1: no column 'image'"),
        ("image,label,image\n", "line 1: column 'image' stands there twice"),
        ("", "line 1: no column 'image'"),
        ("image,label\na.png,normal,extra\n", "line 2: has not 2 fields"),
        ("image,label\na.png\n", "line 2: has not 2 fields"),
        ("image,label\n,normal\n", "line 2: column 'image' is empty"),
        ('image,label\n"a.png,normal\n', "not a CSV file"),
    ],
)
def test_malformed_manifest(tmp_path, text, match):
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(CxrError, match=match):
        discover(tmp_path / "m.csv", CONFIG)


def test_binary_manifest(tmp_path):
    (tmp_path / "m.csv").write_bytes(b"\xff\xfe\x00\x80image")
    with pytest.raises(CxrError, match="UTF-8"):
        discover(tmp_path / "m.csv", CONFIG)


def test_byte_order_mark_and_windows_lines(tmp_path, make_image):
    for name in ("a", "c", "p"):
        make_image(tmp_path / f"{name}.png")
    (tmp_path / "m.csv").write_bytes("\ufeffimage, label\r\na.png,normal\r\nc.png,covid19\r\np.png,pneumonia\r\n".encode())
    assert len(discover(tmp_path / "m.csv", CONFIG)[0]) == 3


def test_listed_twice_is_refused_or_makes_one_patient(tmp_path, make_manifest):
    rows = [
        row(patient_id="1"),
        row(image="./a.png", patient_id="2"),
        row(image="b.png", patient_id="2"),
        row(image="d.png", patient_id="3"),
        *OTHERS,
    ]
    manifest = make_manifest(tmp_path, rows)
    with pytest.raises(CxrError, match=r"line 3: \./a\.png is listed twice \(first: .*line 2: a\.png\).*--listed-twice merge"):
        discover(manifest, CONFIG)
    found, warnings = discover(manifest, Ingest(listed_twice="merge"))
    assert [r.patient for r in found] == ["1", "1", "3", "", ""]
    assert warnings == ["1 paths were listed twice and are read once; 1 patient ids were other ids of the same person"]


def test_listed_twice_under_two_labels_is_never_merged(tmp_path, make_manifest):
    manifest = make_manifest(tmp_path, [row(), row(label="covid19"), *OTHERS])
    with pytest.raises(CxrError, match="another label"):
        discover(manifest, Ingest(listed_twice="merge"))


def test_dicom_header_fills_what_the_manifest_leaves_open(tmp_path, make_manifest):
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset

    dataset = FileDataset(None, {}, file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID, dataset.file_meta.MediaStorageSOPInstanceUID = "1.2", "1.2.3"
    dataset.PatientID, dataset.PatientSex, dataset.PatientAge, dataset.ViewPosition = "MRN-1", "F", "006M", "ap"
    dataset.save_as(tmp_path / "a.png", enforce_file_format=True)  # a name says nothing
    dataset.PatientAge, dataset.PatientSex = "999Y", "X"
    dataset.save_as(tmp_path / "b", enforce_file_format=True)
    (tmp_path / "c.dcm").write_bytes(b"broken")
    rows = [row(image="a.png"), row(image="b", patient_id="stated", view="PA"), row(image="c.dcm"), *OTHERS]
    found, _ = discover(make_manifest(tmp_path, rows), CONFIG)
    assert (found[0].patient, found[0].view, found[0].sex, found[0].age) == ("MRN-1", "AP", "F", 0.5)
    assert (found[1].patient, found[1].view, found[1].sex, found[1].age) == ("stated", "PA", "unknown", None)
    assert (found[2].patient, found[2].age) == ("", None)
