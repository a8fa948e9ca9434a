"""Traces of processing: what is planted, and that the audit's table tells it."""

import sys

import numpy as np
import processing_traces
import pytest
import tensorflow as tf

from cxr.core import features

CHANGES = processing_traces.CHANGES


@pytest.fixture(scope="module")
def picture():
    return processing_traces.draw(7, features.NORMAL, 64).image


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_leaves_a_picture_of_its_shape(picture, name):
    before = picture.copy()
    changed = CHANGES[name](picture)
    assert changed.shape == picture.shape
    assert changed.dtype == np.uint8
    np.testing.assert_array_equal(picture, before)  # the class that is left alone is made of the same pictures
    assert np.array_equal(changed, picture) is (name == "nothing")


def test_the_line_is_faint_and_in_the_middle(picture):
    difference = processing_traces.faint_line(picture).astype(int) - picture
    assert set(np.flatnonzero(difference.any(axis=1))) == {32}
    assert difference.max() == 6
    white = np.full((8, 8), 253, np.uint8)
    assert processing_traces.faint_line(white).max() == 255  # no dark line where a byte ends


def test_pictures_of_one_source_have_classes_by_lot(raw_examples, tmp_path):
    (tmp_path / "train").mkdir()
    made = [tf.train.Example.FromString(example).features.feature for example in raw_examples]
    with tf.io.TFRecordWriter(str(tmp_path / "train" / "a.tfrecord.gz"), "GZIP") as writer:
        for example in raw_examples:
            writer.write(example)
    source = made[0][features.SOURCE].bytes_list.value[0]
    theirs = [
        feature[features.PATIENT_ID].bytes_list.value[0] for feature in made if feature[features.SOURCE].bytes_list.value[0] == source
    ]
    pictures, labels, patients = processing_traces.of_one_source(tmp_path, source.decode(), 1000)
    assert list(patients) == theirs
    assert len(pictures) == len(labels) == len(theirs)
    assert len({(patient, label) for patient, label in zip(patients, labels, strict=True)}) == len(set(theirs))  # one class a patient
    assert len(processing_traces.of_one_source(tmp_path, source.decode(), 2)[0]) == 2
    assert processing_traces.of_one_source(tmp_path, "elsewhere", 2)[0] == []


def test_records_and_source_go_together(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["processing_traces.py", "--records", "records"])
    with pytest.raises(SystemExit):
        processing_traces.main()
    assert "--records and --source go together" in capsys.readouterr().err


@pytest.mark.slow
def test_what_is_planted_is_told_and_what_is_not_is_not(monkeypatch, capsys):
    monkeypatch.setattr(processing_traces, "CHANGES", {name: CHANGES[name] for name in ("nothing", "JPEG, quality 30")})
    monkeypatch.setattr(sys, "argv", ["processing_traces.py", "--count", "60", "--side", "48"])
    processing_traces.main()
    rows = [line.split("  ") for line in capsys.readouterr().out.splitlines() if line.startswith((" sick", " healthy"))]
    found = {(row[0].strip(), next(cell.strip() for cell in row[1:] if cell)): "*" in "".join(row) for row in rows}
    assert found == {
        ("sick synthetic", "nothing"): False,
        ("healthy synthetic", "nothing"): False,
        ("healthy synthetic", "JPEG, quality 30"): True,
    }
