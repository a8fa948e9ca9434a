"""The exported model in the hands of TFMA, which reads it through its signatures."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions
from google.protobuf import text_format
from tensorflow_model_analysis.api import model_eval_lib as tfma
from tensorflow_model_analysis.proto import config_pb2

from cxr.core import beam_options
from cxr.trainer.calibration import outside
from cxr.trainer.calibration_info import Conformal
from cxr.trainer.export.network import single_network
from cxr.trainer.export.saved_model import export_model

CLASSES, SIZE = ("covid19", "pneumonia", "normal"), 32


@pytest.mark.slow
def test_tfma_finds_labels_and_predictions(transform, raw_examples, tmp_path):
    keras.utils.set_random_seed(0)
    image = keras.Input([SIZE, SIZE, 3])
    x = keras.layers.BatchNormalization(name="backbone")(keras.layers.Conv2D(4, 3, strides=4)(image))
    model = keras.Model(image, keras.layers.Dense(3, activation="softmax")(keras.layers.GlobalAveragePooling2D()(x)))
    serving = str(tmp_path / "model")
    rng = np.random.default_rng(0)
    detector, _ = outside.fit({split: rng.normal(size=(30, 4)).astype(np.float32) for split in ("train", "val")}, 0.1, 0)
    assert detector is not None
    export_model(
        single_network(model, detector),
        name="small",
        transform=transform,
        info={"conformal": Conformal(coverage=0.9, least_probability=0.2, split="val", images=9, covered=0.9, mean_size=1.2).model_dump()},
        directory=serving,
    )
    data = str(tmp_path / "data.tfrecord")
    with tf.io.TFRecordWriter(data) as writer:
        for example in raw_examples:
            writer.write(example)
    answers = tf.saved_model.load(serving).signatures["serving_default"](examples=tf.constant(raw_examples))
    assert {"outside", "unlike_training", "conformal_set"} <= set(answers)  # outputs of other types and shapes do not disturb it
    predicted = answers["label"].numpy()
    expected = sum(CLASSES[i % 3].encode() == label for i, label in enumerate(predicted)) / len(predicted)

    config = text_format.Parse(
        """
        model_specs { signature_name: "serving_default" preprocessing_function_names: "transform_labels"
                      label_key: "label_index" prediction_key: "probabilities" }
        metrics_specs { metrics { class_name: "SparseCategoricalAccuracy" } metrics { class_name: "ExampleCount" } }
        slicing_specs {} slicing_specs { feature_keys: "sex" }
        """,
        config_pb2.EvalConfig(),
    )
    shared = tfma.default_eval_shared_model(serving, eval_config=config)
    options = PipelineOptions(list(beam_options.local(1)))
    result = tfma.run_model_analysis(shared, config, data_location=data, output_path=str(tmp_path / "out"), pipeline_options=options)
    metrics = {key: values[""][""] for key, values in result.slicing_metrics}
    assert metrics[()]["example_count"]["doubleValue"] == 12
    assert metrics[()]["sparse_categorical_accuracy"]["doubleValue"] == pytest.approx(expected)
    assert set(metrics) == {(), (("sex", "F"),), (("sex", "M"),)}
