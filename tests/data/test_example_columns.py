import pytest
import tensorflow as tf

from cxr.core.errors import CxrError
from cxr.data.example_columns import columns, files_of


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
    with pytest.raises(CxrError, match=r"b\.tfrecord\.gz: cannot be read as raw examples .*make it again with `cxr ingest`"):
        list(columns([f"{written}/b.tfrecord.gz"], {"nowhere": None}))
    (written / "b.tfrecord.gz").write_bytes(b"no records")
    with pytest.raises(CxrError, match=r"b\.tfrecord\.gz: cannot be read"):
        list(columns([f"{written}/b.tfrecord.gz"], {"content_hash": None}))
    with pytest.raises(CxrError, match="gone"):
        list(columns([f"{written}/gone.gz"], {"content_hash": None}))
