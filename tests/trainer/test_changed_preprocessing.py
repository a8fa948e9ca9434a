"""Transform's graph is the one definition: another preprocessing_fn changes training, serving and evaluation, and all alike.

That they follow our own function is looked at by test_run_fn.py (what is trained with and served), test_transform_graph.py (what the graph
makes of a picture) and export/test_export_evaluation.py (TFMA).
"""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from apache_beam.options.pipeline_options import PipelineOptions
from trainer_settings import trainer_settings

from cxr.core import beam_options, features
from cxr.pipeline.gate import Gate, eval_config
from cxr.trainer import artifact, predictions
from cxr.trainer.preprocessing import decode_and_resize, preprocessing_fn
from cxr.trainer.run_fn import run_fn

CLASSES = ("covid19", "pneumonia", "normal")
SIZE = 32
NEAR = 1e-3  # a random network enlarges what rounding leaves between the graph and the eager function; another function is 0.05 away


def stretched(grey):
    """Inverted, and no linear map of the original, which a network that normalises might not notice."""
    return 1 - grey**3


def changed(inputs, custom_config):
    outputs = preprocessing_fn(inputs, custom_config)
    return {**outputs, features.IMAGE_TENSOR: stretched(outputs[features.IMAGE_TENSOR])}


def accuracy_by_tfma(saved_model, pattern, folder):
    """As the pipeline's Evaluator has it."""
    config = tfma.utils.update_eval_config_with_defaults(
        eval_config(Gate(min_accuracy=0), "mobilenet", CLASSES, code_version=""), has_baseline=False, rubber_stamp=True
    )
    (file,) = tf.io.gfile.glob(pattern)
    plain = str(folder / "plain.tfrecord")
    with tf.io.TFRecordWriter(plain) as writer:
        for record in tf.data.TFRecordDataset(file, "GZIP"):
            writer.write(record.numpy())
    shared = tfma.default_eval_shared_model(saved_model, eval_config=config)
    options = PipelineOptions(list(beam_options.local(1)))
    result = tfma.run_model_analysis(shared, config, data_location=plain, output_path=str(folder / "evaluation"), pipeline_options=options)
    metrics = dict(result.slicing_metrics)
    return metrics[()][""][""]["accuracy"]["doubleValue"]


@pytest.mark.slow
@pytest.mark.usefixtures("small_mobilenet")
def test_training_serving_and_evaluation_follow_transform(tmp_path, records, quick_splits, make_transform, raw_examples, config):
    arguments = SimpleNamespace(
        train_files=[records.train],
        eval_files=[records.val],
        transform_output=make_transform(raw_examples, function=changed),
        serving_model_dir=str(tmp_path / "model" / "Format-Serving"),
        model_run_dir=str(tmp_path / "run"),
        custom_config=trainer_settings(config(head_training={"epochs": 1})),
    )
    run_fn(arguments)
    uri = str(tmp_path / "model")
    network = keras.saving.load_model(artifact.keras_path(uri))

    val = quick_splits.val  # encoded, with labels
    grey = decode_and_resize(tf.constant(list(val.images)), SIZE).numpy()
    expected, other = (network.predict(np.repeat(seen, 3, axis=3), verbose=0) for seen in (stretched(grey), grey))
    assert np.abs(expected - other).max() > 0.05

    trained = predictions.load(uri, "val").probabilities
    np.testing.assert_allclose(trained, expected, atol=NEAR)

    serving = arguments.serving_model_dir
    served = tf.saved_model.load(serving).signatures["image_bytes"](image_bytes=tf.constant(list(val.images)))
    np.testing.assert_allclose(served["probabilities"], expected, atol=NEAR)

    right = expected.argmax(axis=1) == val.labels
    assert accuracy_by_tfma(serving, records.val, tmp_path) == pytest.approx(right.mean())
