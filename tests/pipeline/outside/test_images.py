"""Records and logs that nobody made with `cxr`."""

import errno
import json
import os
import shutil

import pytest
import tensorflow as tf

from cxr.core import features
from cxr.core.errors import CxrError, UsageError
from cxr.data.images import reader
from cxr.data.ingest.ingest_config import Ingest
from cxr.data.ingest.pseudonyms import load_key, pseudonym
from cxr.pipeline.outside.images import Private, labelled
from cxr.pipeline.outside.labelled import open_labelled, reading_config
from cxr.pipeline.outside.unlabelled import open_new


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("label", tf.train.Feature(int64_list=tf.train.Int64List(value=[3])), "has no 'label'"),
        ("image", tf.train.Feature(float_list=tf.train.FloatList(value=[0.5])), "has no 'image'"),
        ("source", tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"\xff"])), "'source' is no text"),
    ],
)
def test_an_odd_feature_is_named(raw_examples, name, value, said):
    example = tf.train.Example.FromString(raw_examples[0])
    example.features.feature[name].CopyFrom(value)
    with pytest.raises(CxrError, match=f"a.gz: .*{said}"):
        labelled(example, "a.gz")


def test_a_mask_is_no_fact_of_an_image(raw_examples):
    example = tf.train.Example.FromString(raw_examples[0])
    plain = labelled(example, "a.gz")
    example.features.feature[features.LESION_MASK].bytes_list.value.append(b"\x89PNG\xff")
    assert labelled(example, "a.gz") == plain


def test_a_log_may_announce_more_answers_than_it_holds(raw_examples, tmp_path):
    """As an array a terabyte of them would be made."""
    from tensorflow_serving.apis import prediction_log_pb2

    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.inputs["examples"].CopyFrom(tf.make_tensor_proto([raw_examples[0]]))
    flags = log.predict_log.response.outputs["outside"]
    flags.CopyFrom(tf.make_tensor_proto([True]))
    flags.tensor_shape.dim[0].size = 2**40
    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        writer.write(log.SerializeToString())
    assert [image.outside for image in open_new(str(tmp_path / "a.tfrecord"), None, Ingest()).images] == [True]


def test_without_a_key_patients_have_the_same_names_each_time_and_not_their_own(write, tmp_path):
    """Names order the draws of patients: drawn ones gave the same images other intervals at each call."""
    manifest = write(tmp_path / "there", ["normal", "covid19"] * 3, first=200)

    def patients(file):
        opened = open_labelled(str(file), None, reading_config(features.CLASS_NAMES, None))
        assert opened.key_id is None  # nobody may take them for those of other data
        return {image.content_hash: image.facts[features.PATIENT_ID] for image in opened.images}

    first = patients(manifest)
    header, *lines = manifest.read_text().splitlines()
    other_order = manifest.with_name("other_order.csv")
    other_order.write_text("\n".join([header, *reversed(lines)]) + "\n")
    assert first == patients(manifest) == patients(other_order)
    assert "DOE" in manifest.read_text()
    assert not any("DOE" in name for name in first.values())
    fewer = manifest.with_name("fewer.csv")
    fewer.write_text("\n".join([header, *lines[:2]]) + "\n")
    assert not set(first.values()) & set(patients(fewer).values())  # nobody finds them by the ids alone


OF_NOBODY = "without a patient id: each counts as a patient of its own"


@pytest.mark.parametrize(
    ("ids", "stated", "said"),
    [
        (["1", "1", "2", "2"], True, []),
        (["1", "1", "", "2"], True, [f"1 image {OF_NOBODY}"]),
        (["", "", "", ""], False, [f"4 images {OF_NOBODY}"]),
    ],
)
def test_images_without_a_patient_are_spoken_of(write, tmp_path, ids, stated, said):
    manifest = write(tmp_path / "there", ["normal"] * 4)
    header, *lines = manifest.read_text().splitlines()
    rows = [",".join([*line.split(",")[:2], name]) for line, name in zip(lines, ids, strict=True)]
    manifest.write_text("\n".join([header, *rows]) + "\n")
    found = open_labelled(str(manifest), None, reading_config(features.CLASS_NAMES, None))
    assert found.patients_stated == stated
    assert [note for note in found.notes if OF_NOBODY in note] == said


@pytest.mark.parametrize(
    ("own", "split", "stated", "said"),
    [
        (0, None, True, []),
        (9, "test", True, [f"9 images of all splits {OF_NOBODY}"]),
        (9, "all", True, [f"9 images {OF_NOBODY}"]),
        (60, "all", False, [f"60 images {OF_NOBODY}"]),
    ],
)
def test_records_without_a_patient_are_spoken_of(records, tmp_path, own, split, stated, said):
    copied = shutil.copytree(records, tmp_path / "records")
    file = copied / "dataset.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "own_patients": own}))
    found = open_labelled(str(copied), split, reading_config(features.CLASS_NAMES, 1024))
    assert found.patients_stated == stated
    assert [note for note in found.notes if OF_NOBODY in note] == said


def test_a_file_of_the_same_name_is_no_known_patient(write, tmp_path, key_file):
    """An image without a patient stands for one, and so does a file so called among records of the same key: nobody they have in common."""
    manifest = write(tmp_path / "there", ["normal"] * 4)
    header, *lines = manifest.read_text().splitlines()
    manifest.write_text("\n".join([header, *(",".join([*line.split(",")[:2], ""]) for line in lines[:2]), *lines[2:]]) + "\n")
    opened = open_labelled(str(manifest), None, reading_config(features.CLASS_NAMES, None), private=Private(key_file))
    found = {image.facts[features.PATIENT_ID] for image in opened.images}
    key = load_key(key_file)
    assert not found & {pseudonym(key, f"image:images/SECRET{number}.png") for number in range(4)}
    assert pseudonym(key, "patient:DOE-1") in found
    assert len(found) == 3


def test_a_picture_that_the_machine_cannot_read_now_is_not_left_out(write, tmp_path, monkeypatch):
    manifest = write(tmp_path / "there", ["normal", "covid19"] * 3, first=300)

    def failing(*_, **__):
        raise OSError(errno.EIO, os.strerror(errno.EIO), "DOE.png")

    monkeypatch.setattr(reader, "read_image", failing)
    with pytest.raises(CxrError, match="cannot be read: Input/output error") as raised:
        list(open_labelled(str(manifest), None, reading_config(features.CLASS_NAMES, None)).images)
    assert "DOE" not in str(raised.value)


@pytest.mark.parametrize("settings", [{"where": {"source": "here"}}, {"listed_twice": "merge"}, {"paths_outside": "allow"}])
def test_records_and_logs_refuse_what_they_cannot_obey(records, tmp_path, settings):
    """With `--where` the figures were of all images, and nothing said so."""
    (tmp_path / "a.tfrecord").touch()
    config = reading_config(features.CLASS_NAMES, None, **settings)
    for data, what in ((records, "records"), (tmp_path / "a.tfrecord", "logs of requests")):
        with pytest.raises(UsageError, match=f"holds {what}, in which data.{next(iter(settings))}=… can choose nothing"):
            open_new(str(data), None, config)
    open_new(str(records), None, reading_config(features.CLASS_NAMES, None, where=None, listed_twice=None, paths_outside=None))


@pytest.mark.parametrize(
    ("stated", "split", "total", "said"),
    [
        (["test", "test", "", "", ""], None, 2, "3 images state no split and are left out; --split all takes them too"),
        (["test", "train", "", "", "test"], "test", 2, "2 images state no split and are left out; --split all takes them too"),
        (["test", "test", "", "", ""], "all", 5, None),
        (["test"] * 5, None, 5, None),
        ([""] * 5, None, 5, None),
    ],
)
def test_images_that_state_no_split_where_others_do_are_spoken_of(write, tmp_path, stated, split, total, said):
    """They were left out without a word."""
    manifest = write(tmp_path / "hospital", ["normal"] * 5)
    header, *lines = manifest.read_text().splitlines()
    rows = [f"{line},{name}" for line, name in zip(lines, stated, strict=True)]
    manifest.write_text("\n".join([f"{header},split", *rows]) + "\n")
    found = open_labelled(str(manifest), split, reading_config(features.CLASS_NAMES, None))
    assert found.total == total
    assert [note for note in found.notes if "no split" in note] == ([said] if said else [])


def test_rows_that_where_leaves_out_are_spoken_of(write, tmp_path):
    manifest = write(tmp_path / "hospital", ["normal"] * 4)
    manifest.write_text(manifest.read_text().replace("DOE-1", "1"))
    found = open_labelled(str(manifest), None, reading_config(features.CLASS_NAMES, None, where={"patient_id": "1"}))
    assert (found.total, found.notes) == (2, ("2 rows of the manifest left out that do not say patient_id=1",))
