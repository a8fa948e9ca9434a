"""Training on two devices: two logical CPUs, which TensorFlow makes only before it is used, hence in processes of their own."""

import json
import os
from pathlib import Path

import numpy as np
import prepared
import pytest
import tensorflow as tf
from trainer_settings import trainer_settings

from cxr.core import machine, progress
from cxr.trainer import devices, predictions

INSTRUCTIONS = {"avx512_bf16", "amx_bf16"} & {*machine.processor().get("flags", "").split()}
TWO_DEVICES = """
import json
import operator
import os
import sys
from pathlib import Path
from types import SimpleNamespace
import keras
import numpy as np
import tensorflow as tf

cpu, = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from cxr.trainer import devices
devices.has_gpu = lambda: True

sys.path.append("tests/helpers")
from small_networks import shrink_mobilenet
shrink_mobilenet(setattr, operator.setitem)
"""
# Killed where it is said so: in an epoch that is over, before its state is written.
TRAIN = """
from cxr.trainer.splits import read_split
from cxr.trainer.model_config import Model
from cxr.trainer.state_folder import States
from cxr.trainer.training import Training
from cxr.trainer.transform_graph import TransformGraph

patterns, transform_dir, folder, configs, killed_in = json.loads(sys.argv[1])
transform = TransformGraph(transform_dir, ("covid19", "pneumonia", "normal"))
train, val = (read_split([pattern], transform) for pattern in patterns)
def on_epoch(*where):
    if [name, *where[:2]] == killed_in:
        os._exit(9)
for name, config in configs.items():
    with States(Path(folder) / name) as states:
        trained = Training(Model.model_validate(config), transform, train, val, states=states, on_epoch=on_epoch).run()
    stages = [[s.name, s.rows, s.resumed_from, s.best_epoch] for s in trained.stages]
    finite = all(np.isfinite(w).all() for w in trained.model.get_weights())
    found = {"stages": stages, "finite": finite, "answers": trained.probabilities["train"].tolist()}
    (Path(folder) / f"{name}.json").write_text(json.dumps(found))
"""
RUN_FN = """
from cxr.trainer.run_fn import run_fn
run_fn(SimpleNamespace(**json.loads(sys.argv[1])))
"""
# Gradients that float16 cannot hold, on the second device alone: what the loss is scaled by has to come down first.
OVERFLOW = """
from cxr.trainer.model_config import Loss, Stage
from cxr.trainer.stages import StageData, run_stage
stage = Stage.model_validate({"epochs": 12, "batch_size": 4, "optimizer": {"learning_rate": 1e-3}})
x, y = np.float32([[1], [1], [1], [300]]), np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
with devices.computing_in(devices.precision(True)), devices.mirrored(4).scope():
    image = keras.Input([1])
    scores = keras.layers.Dense(3, use_bias=False, kernel_initializer="zeros")(image)
    model = keras.Model(image, keras.layers.Activation("softmax", dtype="float32")(scores))
    data = StageData(lambda first: tf.data.Dataset.from_tensors((x, y)).repeat(12 - first), 1, None)
    history = run_stage("head", model, stage, Loss(), data)
weights = model.get_weights()[0]
scale = keras.ops.convert_to_numpy(model.optimizer.dynamic_scale)
print(json.dumps([[row["loss"] for row in history.rows], float(scale), weights.tolist()]))
"""


def on_two_devices(child, *given, fails=0):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = ["python", "-c", TWO_DEVICES + child, *map(json.dumps, given)]
    done = prepared.run(command, cwd=Path.cwd(), env=environment, timeout=900)
    assert done.returncode == fails, done.stderr[-3000:]
    return done.stdout


@pytest.fixture
def train(records, quick_transform_dir, tmp_path):
    """Returns a function that trains models, named, and gives back what became of them."""

    def run(configs, killed_in=None, images=records.train):
        given = {name: model.model_dump(mode="json") for name, model in configs.items()}
        on_two_devices(TRAIN, [[images, records.val], quick_transform_dir, str(tmp_path), given, killed_in], fails=9 if killed_in else 0)
        return {file.stem: json.loads(file.read_text()) for file in tmp_path.glob("*.json")}

    return run


@pytest.mark.slow
def test_two_devices_learn_what_one_does_and_go_on_after_a_kill(train, config, write, make_example, tmp_path):
    """The last batch has 4 of 10 images; images are augmented, kernels have a penalty, and images of one class weigh a third of others."""
    uneven = write(tmp_path / "uneven" / "data.gz", [make_example(i) for i in (*range(15), *range(15, 42, 3))])  # 14, 5 and 5
    # A step this small: Adam makes a whole step of a gradient that is nothing but rounding, which differs between processors too.
    stage = {"epochs": 3, "batch_size": 10, "optimizer": {"name": "adamw", "learning_rate": 1e-5, "weight_decay": 1e-3}}
    plateau = {"reduce_on_plateau": {"monitor": "val_accuracy", "patience": 0, "factor": 0.5}, "early_stopping": {"monitor": "val_loss"}}
    one = config(
        head={"normalize": True, "l2": 0.01},  # no dropout: devices draw the same noise for other images
        head_training={"epochs": 1, "batch_size": 5},
        augmentation={"rotation": 10},
        class_weights=True,
        source_weights=True,
        fine_tuning={**stage, **plateau},
    )
    two = {"two": one.model_copy(update={"all_gpus": True})}
    assert set(train({"one": one, **two}, ["two", "fine-tuning", 2], images=uneven)) == {"one"}
    found = train(two, images=uneven)
    single, shared = found["one"], found["two"]
    assert [resumed for _, _, resumed, _ in shared["stages"]] == [1, 1]
    for (name, rows, _, best), (other, other_rows, _, other_best) in zip(single["stages"], shared["stages"], strict=True):
        assert (name, best) == (other, other_best)
        for row, other_row in zip(rows, other_rows, strict=True):
            for key in ("val_loss", "learning_rate"):
                assert other_row[key] == pytest.approx(row[key], rel=1e-4), (name, key)
    rates = [row["learning_rate"] for row in shared["stages"][1][1]]
    assert rates[-1] < rates[0]
    np.testing.assert_allclose(single["answers"], shared["answers"], atol=1e-3)


@pytest.mark.slow
def test_from_scratch_on_two_devices(train, config):
    """Of 24 images a last batch of 2: the second device would get none of these."""
    stage = {"epochs": 2, "batch_size": 22, "optimizer": {"learning_rate": 1e-3}}
    found = train({"scratch": config(all_gpus=True, head_training=None, head={}, fine_tuning=stage)})["scratch"]
    ((name, rows, _, _),) = found["stages"]
    assert name == "from scratch"
    assert found["finite"]
    assert all(np.isfinite(row["loss"]) for row in rows)


@pytest.mark.slow
def test_half_precision_on_two_devices_to_the_end(records, transform_dir, config, tmp_path):
    """As `full` trains on several GPUs."""
    stage = {"epochs": 2, "batch_size": 10, "optimizer": {"learning_rate": 1e-4}}
    model = config(all_gpus=True, mixed_precision=True, head_training={"epochs": 2}, fine_tuning=stage)
    arguments = {
        "train_files": [records.train],
        "eval_files": [records.val],
        "transform_output": transform_dir,
        "serving_model_dir": str(tmp_path / "model" / "Format-Serving"),
        "model_run_dir": str(tmp_path / "run"),
        "custom_config": trainer_settings(model),
    }
    on_two_devices(RUN_FN, arguments)
    found = json.loads((tmp_path / "run" / "history.json").read_text())
    assert found["precision"] == "mixed_float16"
    head, tuned = found["stages"]
    assert all(np.isfinite(row["loss"]) for row in (*head["rows"], *tuned["rows"]))
    kept = predictions.load(str(tmp_path / "model"), "val").probabilities
    assert np.isfinite(kept).all()
    np.testing.assert_allclose(kept.sum(axis=1), 1, atol=1e-5)


@pytest.mark.slow
def test_what_is_too_large_for_float16_on_any_device_is_left_out():
    losses, scale, weights = json.loads(on_two_devices(OVERFLOW))
    assert np.isfinite(weights).all()
    assert 0 < scale < 2**15
    assert losses[-1] < losses[0]


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


@pytest.mark.parametrize(
    ("flags", "environment", "has"),
    [
        ("avx2 avx512f avx512_bf16", {}, True),
        ("avx2 amx_bf16", {}, True),
        ("avx2 avx512f", {}, False),
        ("", {}, False),
        ("avx512f avx512_bf16", {"ONEDNN_MAX_CPU_ISA": "AVX2"}, False),
    ],
)
def test_bfloat16_is_for_processors_with_instructions_for_it(flags, environment, has, monkeypatch, caplog):
    monkeypatch.setattr(machine, "processor", lambda: {"flags": flags})
    monkeypatch.setattr(devices.tf, "function", lambda call, autograph: lambda fine, ones: devices.tf.ones([1, 1]))  # a rounded product
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with caplog.at_level("INFO", logger=progress.LOGGER):
        assert devices.precision(mixed=True) == ("bfloat16" if has else "float32")
    assert ("frozen backbones compute in bfloat16" if has else "nor instructions for bfloat16") in caplog.text
    assert devices.precision(mixed=False) == "float32"


def test_where_nothing_is_rewritten_it_is_float32(monkeypatch):
    monkeypatch.setattr(machine, "processor", lambda: {"flags": "avx512_bf16"})
    monkeypatch.setattr(devices.tf, "function", lambda call, autograph: call)  # as with TF_ENABLE_ONEDNN_OPTS=0
    assert devices.precision(mixed=True) == "float32"


@pytest.mark.skipif(not INSTRUCTIONS, reason="this processor has no instructions for bfloat16")
def test_a_graph_is_rewritten_while_the_block_runs_alone():
    product = tf.function(tf.matmul, autograph=False)
    fine, one = tf.constant([[1 + 2**-12]]), tf.ones([1, 1])
    assert product(fine, one) == fine
    with devices.frozen_in("bfloat16"):
        rounded = product(fine, one)
    assert (rounded.dtype, rounded) == (tf.float32, one)
    assert product(fine, one) == fine
    with devices.frozen_in("mixed_float16"):
        assert product(fine, one) == fine
