"""Records that nobody ingested."""

import pytest
import tensorflow as tf

from cxr.core.errors import CxrError
from cxr.core.features import CLASS_NAMES
from cxr.data.audit.records import read_pictures, read_tables


@pytest.mark.parametrize(
    ("name", "said"),
    [("label", "label is no text"), ("source", "source is no text"), ("image", "without image"), ("height", "without height or width")],
)
def test_an_odd_feature_is_named(raw_examples, tmp_path, name, said):
    example = tf.train.Example.FromString(raw_examples[0])
    feature = example.features.feature[name]
    feature.Clear()
    if "text" in said:
        feature.bytes_list.value.append(b"\xff")
    with tf.io.TFRecordWriter(str(tmp_path / "train")) as writer:
        writer.write(example.SerializeToString())
    with pytest.raises(CxrError, match=said):
        read_tables({"train": [str(tmp_path / "train")]}, CLASS_NAMES)
    if name in ("label", "image"):
        with pytest.raises(CxrError, match=said):
            read_pictures([str(tmp_path / "train")], CLASS_NAMES, 1, 1)
