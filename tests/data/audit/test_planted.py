"""From pictures to verdict: a planted confounder is found, and clean synthetic data are."""

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageFilter
from typer.testing import CliRunner

from cxr.cli.main import app
from cxr.core import exit_codes, features
from cxr.core.errors import CxrError, UsageError
from cxr.core.silence import TENSORFLOW_LEVEL
from cxr.data.audit.audit import run_audit
from cxr.data.audit.audit_config import Audit
from cxr.data.audit.conclusions import conclusion
from cxr.data.audit.records import Tables, read_pictures, read_tables
from cxr.data.audit.result import AuditResult
from cxr.data.audit.tables import MEASURED, Example
from cxr.data.demo import SEVERITY
from cxr.data.demo.lettering import stamped
from cxr.data.demo.radiograph import draw

pytestmark = pytest.mark.seconds

LOOKED_AT = ("source", "brightness", "grey_histogram", "corners", "border", "marks", "processing")


def patterns(folder):
    return {split: [f"{folder}/{split}/*.tfrecord.gz"] for split in ("train", "test")}


def clear(folder, looked_at):
    read = read_tables(patterns(folder), features.CLASS_NAMES)
    some = Tables(read.labels, read.patients, read.splits, {name: read.tables[name] for name in looked_at})
    result, _ = run_audit(some, features.CLASS_NAMES, Audit(folds=3), "test")
    return {found.name: found.clear_classes for found in result.clear}


@pytest.mark.slow
def test_clean_data_are_clean(demo_records):
    assert clear(demo_records("none"), LOOKED_AT) == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("confounder", "shortcut", "not_seen"),
    [("marker", "corners", "brightness"), ("brightness", "brightness", "source"), ("compression", "processing", "brightness")],
)
def test_a_planted_confounder_is_found(demo_records, confounder, shortcut, not_seen):
    found = clear(demo_records(confounder), (shortcut, not_seen))
    assert found[shortcut] == features.CLASS_NAMES[:1]
    assert not_seen not in found


def told_by(shortcut, pictures):
    """Audits pictures of persons of their own, the three classes in turn, by one shortcut alone."""
    table = np.array([MEASURED[shortcut].row(Example({}, len(picture), len(picture[0]), picture)) for picture in pictures], np.float32)
    names = np.array([f"p{number}".encode() for number in range(len(table))], object)
    data = Tables(np.arange(len(table)) % 3, names, np.full(len(table), "train"), {shortcut: table})
    return run_audit(data, features.CLASS_NAMES, Audit(folds=3), "test")[0].shortcuts[0]


@pytest.fixture(scope="module")
def healthy():
    return [draw(seed, "normal", 224).image for seed in range(150)]


@pytest.fixture(scope="module")
def sick():
    """As many, of the three classes in turn."""
    severity = np.random.default_rng(0).uniform(*SEVERITY, 150)
    return [draw(1000 + seed, features.CLASS_NAMES[seed % 3], 224, severity[seed]).image for seed in range(150)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at", "height"),
    [((0.08, 0.93), 0.09), ((0.08, 0.93), 0.045), ((0.2, 0.2), 0.09), ((0.2, 0.2), 0.045), ((0.5, 0.12), 0.045), ((0.3, 0.7), 0.045)],
)
def test_a_letter_is_found_wherever_it_stands(healthy, at, height):
    found = told_by("marks", [picture if number % 3 else stamped(picture, "P", at, height) for number, picture in enumerate(healthy)])
    assert found.clear_classes == features.CLASS_NAMES[:1], found.verdict


@pytest.mark.slow
@pytest.mark.parametrize("level", [0, 255])
def test_a_sign_that_is_too_wide_for_a_stroke_is_told_by_its_edges(healthy, level):
    def signed(picture):
        marked = picture.copy()
        marked[:9, 101:123] = level
        return marked

    found = told_by("edges", [picture if number % 3 else signed(picture) for number, picture in enumerate(healthy)])
    assert found.clear_classes == features.CLASS_NAMES[:1], found.verdict


@pytest.mark.slow
@pytest.mark.parametrize(("shortcut", "highest"), [("marks", 0.65), ("edges", 0.65), ("processing", 0.7)])
def test_marks_and_traces_are_no_disease(healthy, sick, shortcut, highest):
    for pictures in (healthy, sick):
        found = told_by(shortcut, pictures)
        assert found.clear_classes == ()
        assert max(auc.value for auc in found.folds.auc.values()) < highest


@pytest.mark.slow
def test_a_mirrored_class_is_told_and_one_sided_disease_is_not(healthy, sick):
    found = told_by("left_and_right", [picture if number % 3 else picture[:, ::-1] for number, picture in enumerate(healthy)])
    assert found.clear_classes == features.CLASS_NAMES[:1], found.verdict
    assert max(auc.value for auc in told_by("left_and_right", sick).folds.auc.values()) < 0.65  # a forest: 0.78


def jpeg(picture, quality):
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def resampled(picture, share):
    there = Image.fromarray(picture).resize([round(share * side) for side in picture.shape[::-1]], Image.Resampling.BICUBIC)
    return np.asarray(there.resize(picture.shape[::-1], Image.Resampling.BICUBIC))


PROCESSED = {
    "JPEG, quality 50": lambda picture: jpeg(picture, 50),
    "JPEG, quality 90": lambda picture: jpeg(picture, 90),
    "blurred": lambda picture: np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(1))),
    "sharpened": lambda picture: np.asarray(Image.fromarray(picture).filter(ImageFilter.UnsharpMask(1.5, 60, 0))),
    "scaled there and back": lambda picture: resampled(picture, 0.75),
}


@pytest.mark.slow
@pytest.mark.parametrize("processed", PROCESSED)
def test_pictures_of_one_class_that_were_processed_otherwise_are_told(healthy, processed):
    """Each picture is stored as a JPEG in the end, as ingest stores one: what comes last does not hide what was before."""
    pictures = [picture if number % 3 else PROCESSED[processed](picture) for number, picture in enumerate(healthy)]
    found = told_by("processing", [jpeg(picture, 95) for picture in pictures])
    assert found.clear_classes == features.CLASS_NAMES[:1], found.verdict


@pytest.mark.slow
def test_gaps_between_grey_levels_are_told_where_no_jpeg_fills_them(healthy):
    found = told_by(
        "processing", [picture if number % 3 else np.round(picture * 0.8).astype(np.uint8) for number, picture in enumerate(healthy)]
    )
    assert found.clear_classes == features.CLASS_NAMES[:1], found.verdict


@pytest.mark.slow
def test_the_command_says_it_and_its_exit_code_too(demo_records):
    done = CliRunner().invoke(app, ["audit", str(demo_records("marker")), "--folds", "2", "--json"])
    assert done.exit_code == exit_codes.REFUSED, done.output
    result = AuditResult.model_validate_json(done.stdout)
    assert conclusion(result).endswith("can learn them instead of the disease")
    assert "corners" in {found.name for found in result.clear}
    assert sum(result.images.values()) == 180


def test_the_command_says_nothing_of_tensorflows_on_stderr(demo_records, tmp_path):
    """A new process: TensorFlow's libraries greet where they are loaded. It ends with an error before small models take their time."""
    shutil.copytree(demo_records("none", 60), tmp_path / "records")
    shard = next((tmp_path / "records" / "test").iterdir())
    shard.write_bytes(shard.read_bytes()[:1000])
    command = [Path(sys.executable).with_name("cxr"), "audit", tmp_path / "records"]
    environment = {name: value for name, value in os.environ.items() if name != TENSORFLOW_LEVEL}  # another test's wish would count
    (said,) = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300).stderr.splitlines()
    assert said.startswith(f"error: {shard}")


def test_a_folder_without_records_is_refused(tmp_path):
    done = CliRunner().invoke(app, ["audit", str(tmp_path)])
    assert done.exit_code == exit_codes.FAILED  # the error itself: main() makes exit code 2 of it
    assert "holds no dataset.json" in str(done.exception)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--clear-auc", "0.5"], "clear_auc: Input should be greater than 0.5"), (["--split", "tset"], "has train, test")],
)
def test_wrong_options_are_told_before_pictures_are_read(demo_records, monkeypatch, arguments, words):
    monkeypatch.setattr("cxr.data.audit.records.read_tables", None)
    error = CliRunner().invoke(app, ["audit", str(demo_records("none", 60)), *arguments]).exception
    assert isinstance(error, UsageError)
    assert words in str(error)


def test_files_in_any_order_make_the_same_tables(demo_records, tmp_path):
    source = demo_records("none", 60) / "test" / "examples-00000-of-00001.tfrecord.gz"
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(source), "GZIP")]
    for number, part in enumerate((records[10:], records[:10])):
        with tf.io.TFRecordWriter(str(tmp_path / f"{number}.gz"), "GZIP") as writer:
            for record in part:
                writer.write(record)
    one, other = (read_tables({"test": [pattern]}, features.CLASS_NAMES) for pattern in (str(source), f"{tmp_path}/*.gz"))
    for name, table in one.tables.items():
        np.testing.assert_array_equal(table, other.tables[name], err_msg=name)
    np.testing.assert_array_equal(one.patients, other.patients)
    pictures = read_pictures([str(source)], features.CLASS_NAMES, limit=10, seed=1)
    assert 5 < len(pictures.encoded) <= 10
    assert all(encoded.startswith(b"\x89PNG") for encoded in pictures.encoded)


def test_every_copy_of_a_picture_is_read(demo_records, tmp_path):
    source = demo_records("none", 60) / "test" / "examples-00000-of-00001.tfrecord.gz"
    copy = shutil.copy(source, tmp_path / "copy.gz")
    once, twice = (read_pictures(files, features.CLASS_NAMES, limit=1000, seed=1) for files in ([str(source)], [str(source), str(copy)]))
    assert twice.encoded == [encoded for encoded in once.encoded for _ in range(2)]


@pytest.mark.parametrize(
    ("contents", "message"), [(b"no record", "cannot be read as raw examples"), (None, "no records; make them with `cxr ingest`")]
)
def test_records_that_cannot_be_read(tmp_path, contents, message):
    if contents:
        with tf.io.TFRecordWriter(str(tmp_path / "one.gz"), "GZIP") as writer:
            writer.write(contents)
    with pytest.raises(CxrError, match=message):
        read_tables({"test": [f"{tmp_path}/*.gz"]}, features.CLASS_NAMES)


def test_an_unknown_label_is_named(demo_records):
    with pytest.raises(CxrError, match="is none of covid19, normal; set data.class_names"):
        read_tables(patterns(demo_records("none", 60)), ("covid19", "normal"))
