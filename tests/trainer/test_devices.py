"""Training on two devices: two logical CPUs, which TensorFlow makes only before it is used, hence in a process of its own."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

CHILD = """
import json, sys
from pathlib import Path
import keras
import numpy as np
import tensorflow as tf

cpu, = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from cxr.trainer import devices
from cxr.trainer.model_config import Augmentation, Model
from cxr.trainer.inputs import in_order, read_split
from cxr.trainer.training import Training
from cxr.trainer.transform_graph import TransformGraph

patterns, transform_dir, precision, folder, configs = json.loads(sys.argv[1])
devices.precision = lambda mixed: precision  # as where there is a GPU
whole = keras.applications.MobileNet
def narrow(**arguments):
    return whole(alpha=0.25, **arguments)
narrow.__module__ = whole.__module__
keras.applications.MobileNet = narrow

transform = TransformGraph(transform_dir, ("covid19", "pneumonia", "normal"))
train, val = (read_split([pattern], transform) for pattern in patterns)
for name, config in configs.items():
    trained = Training(Model.model_validate(config), transform, train, val, state_root=Path(folder) / name).run()
    images = np.stack(list(in_order(val.images, transform.image, augmentation=Augmentation())))
    print(json.dumps({
        "name": name,
        "stages": [[s.name, [row["loss"] for row in s.rows], [row["learning_rate"] for row in s.rows]] for s in trained.stages],
        "finite": all(np.isfinite(w).all() for w in trained.model.get_weights()),
        "answers": trained.probabilities["val"].tolist(),
        "again": trained.model.predict(images, verbose=0).tolist(),
    }))
"""
# Of 24 training images a last batch of 4, or of 2: the second device would get none of these.
FINE = {"epochs": 2, "batch_size": 10, "optimizer": {"learning_rate": 1e-3}}
SCRATCH = {"epochs": 2, "batch_size": 22, "optimizer": {"learning_rate": 1e-3}}
PLATEAU = {"reduce_on_plateau": {"monitor": "loss", "patience": 0, "factor": 0.5}, "early_stopping": {"monitor": "val_loss"}}


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_head_fine_tuning_and_from_scratch_on_two_devices(records, transform_dir, config, tmp_path, precision):
    configs = {
        "head": config(all_gpus=True, head_training={"epochs": 2, "batch_size": 5}),
        "tuned": config(all_gpus=True, class_weights=True, head_training={"epochs": 1, "batch_size": 5}, fine_tuning={**FINE, **PLATEAU}),
        "scratch": config(all_gpus=True, head_training=None, head={}, fine_tuning=SCRATCH),
    }
    results = {}
    # One process each, as each trainer has its own: in one, TensorFlow gives the collective operations of two strategies the same keys.
    for name, chosen in configs.items():
        given = json.dumps([[records.train, records.val], transform_dir, precision, str(tmp_path), {name: chosen.model_dump(mode="json")}])
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        child = subprocess.run([sys.executable, "-c", CHILD, given], capture_output=True, text=True, env=environment, timeout=900)
        assert child.returncode == 0, f"{name}: {child.stderr[-3000:]}"
        results[name] = json.loads(child.stdout)
    assert [[stage[0] for stage in result["stages"]] for result in results.values()] == [
        ["head"],
        ["head", "fine-tuning"],
        ["from scratch"],
    ]
    for result in results.values():
        assert result["finite"], result["name"]
        assert all(loss == loss and rate > 0 for _, losses, rates in result["stages"] for loss, rate in zip(losses, rates, strict=True))
        if precision == "float32":  # a random network multiplies bfloat16's rounding; trained ones are held to it in test_run_fn.py
            assert np.mean(np.abs(np.subtract(result["answers"], result["again"]))) < 1e-4, result["name"]


def test_a_batch_goes_to_as_many_devices_as_share_it_evenly():
    from cxr.trainer.devices import mirrored

    assert mirrored(16) is None  # one CPU


@pytest.mark.parametrize(
    ("images", "batch_size", "replicas", "expected"),
    [
        (9, 10, 1, 9),
        (100, 16, 1, 16),
        (9, 10, 2, 6),  # 8 would leave one image for two devices
        (100, 16, 2, 16),
        (33, 16, 2, 14),
        (22, 16, 4, 12),  # of the 6 that 16 would leave the fourth device gets none: 2, 2, 2
        (9, 16, 8, 8),  # cannot be
        (1, 16, 2, 2),
    ],
)
def test_no_device_gets_an_empty_share_of_validation_images(images, batch_size, replicas, expected):
    from cxr.trainer.devices import validation_batch

    assert validation_batch(images, batch_size, replicas) == expected
