import json
import sys

import gpu_steps
import keras
import pytest
import tensorflow as tf
from small_networks import shrink_mobilenet

from cxr.core import machine


@pytest.mark.slow
def test_it_runs_on_whatever_there_is(raw_examples, tmp_path, monkeypatch, capsys):
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        with tf.io.TFRecordWriter(str(tmp_path / split / "a.tfrecord.gz"), "GZIP") as writer:
            for example in raw_examples:
                writer.write(example)
    tiny = ["image_size=32", "defaults.image_size=32", "defaults.weights=none", "defaults.fine_tuning.batch_size=5"]
    figures = tmp_path / "figures.json"
    arguments = [str(tmp_path), "--models", "mobilenet", "--steps", "3", "--json", str(figures), *tiny]
    monkeypatch.setattr(sys, "argv", ["gpu_steps.py", *arguments])
    shrink_mobilenet(monkeypatch.setattr, monkeypatch.setitem)
    monkeypatch.setattr(machine, "processor", dict)  # without instructions for bfloat16, which frozen features would be made in
    gpu_steps.main()
    assert "fine-tuning on CPU" in capsys.readouterr().out
    written = json.loads(figures.read_text())
    (found,) = written["models"]
    assert written["device"] == gpu_steps.device()
    assert (found["model"], found["precision"], found["batch_size"]) == ("mobilenet", "float32", 5)  # no GPU, so no half precision
    assert 0 < found["floor"] < found["step"]
    assert 0 < found["busy"] <= 1
    assert max(found["export_here"], found["export_cpu"]) < found["allowed"]


def test_operations_are_counted():
    image = keras.Input([8, 8, 3])
    convolution = keras.layers.Conv2D(4, 3, use_bias=False)
    assert gpu_steps.flops(keras.Model(image, convolution(image))) == 2 * 6 * 6 * 4 * 3 * 3 * 3
