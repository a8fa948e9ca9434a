import os

import pytest
import tensorflow as tf

from cxr.core.errors import CxrError
from cxr.data.example_columns import columns, examples, files_of


@pytest.fixture
def written(tmp_path, raw_examples):
    for name, compression in (("b.tfrecord.gz", "GZIP"), ("a[1].tfrecord", None)):
        with tf.io.TFRecordWriter(str(tmp_path / name), compression) as writer:
            for raw in raw_examples[:2]:
                writer.write(raw)
    return tmp_path


def test_files_of_both_kinds_in_order_and_each_once(written):
    files = files_of([f"{written}/*", f"{written}/b*", f"{written}/none*"])
    assert [file.rpartition("/")[2] for file in files] == ["a[1].tfrecord", "b.tfrecord.gz"]
    parts = list(columns(files, {"content_hash": None, "nowhere": "default"}))
    assert [part[1].tolist() for part in parts] == [[b"default"] * 2] * 2
    assert parts[0][0].tolist() == parts[1][0].tolist()


def test_a_damaged_file_and_an_example_without_what_all_have(written):
    with pytest.raises(CxrError, match=r"b\.tfrecord\.gz: cannot be read as raw examples .*make records again with `cxr ingest`"):
        list(columns([f"{written}/b.tfrecord.gz"], {"nowhere": None}))
    (written / "b.tfrecord.gz").write_bytes(b"no records, but long enough")
    with pytest.raises(CxrError, match=r"b\.tfrecord\.gz: cannot be read"):
        list(columns([f"{written}/b.tfrecord.gz"], {"content_hash": None}))
    with pytest.raises(CxrError, match="gone"):
        list(columns([f"{written}/gone.gz"], {"content_hash": None}))


def test_shards_that_are_missing_are_told_by_the_names_of_the_others(tmp_path):
    for number in (0, 1, 2):
        (tmp_path / f"data_tfrecord-0000{number}-of-00003.gz").touch()
    (tmp_path / "other-00000-of-00001.gz").touch()
    assert len(files_of([f"{tmp_path}/data*", f"{tmp_path}/*"])) == 4
    (tmp_path / "data_tfrecord-00001-of-00003.gz").unlink()
    with pytest.raises(
        CxrError,
        match=r"data_tfrecord-00001-of-00003\.gz: 1 of the 3 shards is missing; .*remove the numbered folder .*run again .*--no-cache",
    ):
        files_of([f"{tmp_path}/*"])


@pytest.mark.parametrize("left", [0, 5])
def test_a_file_cut_to_nothing_is_no_file_without_examples(written, left):
    """TensorFlow reads it as one."""
    os.truncate(written / "b.tfrecord.gz", left)
    with pytest.raises(CxrError, match=rf"b\.tfrecord\.gz: is cut short, to {left} bytes; make records again"):
        list(columns([f"{written}/b.tfrecord.gz"], {"content_hash": None}))
    with pytest.raises(CxrError, match="is cut short"):
        list(examples([f"{written}/b.tfrecord.gz"]))


def test_a_shard_without_examples_is_read(tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "a.gz"), "GZIP"):
        pass
    assert list(columns([f"{tmp_path}/a.gz"], {"content_hash": None})) == []
