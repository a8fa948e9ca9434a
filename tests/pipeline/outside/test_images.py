"""Records and logs that nobody made with `cxr`."""

import pytest
import tensorflow as tf

from cxr.core import features
from cxr.core.errors import CxrError
from cxr.data.ingest.ingest_config import Ingest
from cxr.pipeline.outside.images import labelled
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
