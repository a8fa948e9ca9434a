import functools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import prepared
import pytest
import tensorflow as tf
from keras.src.utils import file_utils
from small_networks import with_small_mobilenet
from trainer_settings import trainer_settings

from cxr.core import features
from cxr.core.errors import CxrError
from cxr.pipeline.node_process import start_fork_server
from cxr.trainer import artifact, devices, model_info, predictions
from cxr.trainer.calibration.reliability import measure
from cxr.trainer.decoded_images import in_order
from cxr.trainer.feature_cache.setting import Place
from cxr.trainer.models import backbones
from cxr.trainer.run_fn import run_fn
from cxr.trainer.training_data import image_keys, load_training_images

CLASSES = ["covid19", "pneumonia", "normal"]
CHILD = """
import json, sys
from types import SimpleNamespace
from cxr.trainer.run_fn import run_fn
sys.path.append("tests/helpers")
from small_networks import with_small_mobilenet
with_small_mobilenet(run_fn, SimpleNamespace(**json.loads(sys.argv[1])))
"""
# Waits after its first epoch for another process to come as far, or to end.
MEETING = """
import logging, sys, time
from pathlib import Path
from cxr.trainer.curves import TensorBoardLog
logging.basicConfig(level="INFO", force=True)
here, there = map(Path, sys.argv[2:])
log = TensorBoardLog.__call__
def meet(*arguments):
    here.touch()
    while not there.exists():
        time.sleep(0.01)
    log(*arguments)
TensorBoardLog.__call__ = meet
try:
{child}
finally:
    here.touch()
"""


def arguments(folder: Path, records, transform_dir, model, **more):
    return {
        "train_files": [records.train],
        "eval_files": [records.val],
        "transform_output": transform_dir,
        "serving_model_dir": str(folder / "model" / "Format-Serving"),
        "model_run_dir": str(folder / "run"),
        "custom_config": trainer_settings(model, **{"state_dir": str(folder / "state"), **more}),
    }


@pytest.mark.slow
@pytest.mark.usefixtures("small_mobilenet")
def test_what_a_trainer_writes(tmp_path, records, splits, transform_dir, transform, config):
    model = config(image_size=48)
    run_fn(SimpleNamespace(**arguments(tmp_path, records, transform_dir, model, code_version="c0de", folds=2)))
    uri = str(tmp_path / "model")
    info = model_info.read_info(uri)
    assert (info.name, info.backbone, info.weights, info.weights_note) == ("mobilenet", "MobileNet", "none", "random weights")
    assert (info.synthetic, info.code_version) == (False, "c0de")
    assert (info.image_size, info.network_size) == (transform.image_size, 48)
    assert info.data is not None
    assert info.data.images == {"train": dict.fromkeys(CLASSES, 8), "val": dict.fromkeys(CLASSES, 3)}
    assert info.data.keys_hash
    seen = [*splits.train.content_hash, *splits.val.content_hash]
    np.testing.assert_array_equal(load_training_images(artifact.serving_dir(uri), info.data), image_keys(seen))

    assert info.calibration is not None
    assert (info.calibration.split, info.calibration.images) == ("val", 9)
    assert info.calibration.before is not None
    assert info.calibration.after is not None
    assert info.calibration.after.log_loss <= info.calibration.before.log_loss
    kept = predictions.load(uri, "val")  # calibrated
    assert measure(kept.probabilities, kept.label_index).log_loss == pytest.approx(info.calibration.after.log_loss, abs=1e-5)

    history = json.loads((tmp_path / "run" / "history.json").read_text())
    assert [len(stage["rows"]) for stage in history["stages"]] == [4]
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds"} == set(history["stages"][0]["rows"][0])
    assert history["images"] == {"train": 24, "val": 9}
    assert (tmp_path / "run" / "learning_curves.png").read_bytes().startswith(b"\x89PNG")
    assert {p.name for p in (tmp_path / "run" / "tensorboard").iterdir()} == {"train", "validation"}

    model = keras.saving.load_model(artifact.keras_path(uri))
    served = tf.saved_model.load(artifact.serving_dir(uri)).signatures[features.SIGNATURE_BYTES]
    for name, split in (("train", splits.train), ("val", splits.val)):
        kept = predictions.load(uri, name)
        images = np.stack(list(in_order(split.images, transform.image, augmentation=config().augmentation)))
        np.testing.assert_allclose(kept.probabilities, model.predict(images, verbose=0), atol=1e-4)
        assert kept.content_hash.tolist() == split.content_hash.tolist()
        assert len(set(kept.patients)) == len(split)
        answers = served(image_bytes=tf.constant(list(split.images)))
        np.testing.assert_allclose(answers[features.PROBABILITIES], kept.probabilities, atol=1e-4)
        assert kept.unlike_training is not None
        np.testing.assert_allclose(answers[features.UNLIKE_TRAINING], kept.unlike_training, atol=2e-3)
        assert answers[features.CONFORMAL_SET].numpy().any(axis=1).all()
    unseen = predictions.load(uri, artifact.TRAIN_OOF)
    assert unseen.content_hash.tolist() == splits.train.content_hash.tolist()
    np.testing.assert_allclose(unseen.probabilities.sum(axis=1), 1, atol=1e-5)
    assert np.abs(unseen.probabilities - predictions.load(uri, "train").probabilities).max() > 1e-3
    assert info.outside is not None
    assert (info.outside.share, info.outside.images) == (0.05, 9)
    assert info.conformal is not None
    assert set(info.operating_points) == set(CLASSES)
    assert not list((tmp_path / "state" / "mobilenet").iterdir())


@pytest.mark.slow
@pytest.mark.usefixtures("small_mobilenet")
def test_without_a_validation_split(tmp_path, records, quick_transform_dir, config):
    run_fn(
        SimpleNamespace(**arguments(tmp_path, records, quick_transform_dir, config(head_training={"epochs": 1}), validation_split=False))
    )
    history = json.loads((tmp_path / "run" / "history.json").read_text())
    assert "val_loss" not in history["stages"][0]["rows"][0]
    with pytest.raises(CxrError, match="saved no predictions"):
        predictions.load(str(tmp_path / "model"), "val")
    calibration = model_info.read_info(str(tmp_path / "model")).calibration
    assert calibration is not None
    assert calibration.temperature == 1
    assert "no validation split" in calibration.note


@pytest.mark.slow
@pytest.mark.usefixtures("small_efficientnet")
def test_an_efficientnet_with_imagenet_weights_is_exported_as_it_was_trained(
    tmp_path, records, splits, transform_dir, config, monkeypatch, stand_in_imagenet
):
    """In half precision the export is a copy; Keras builds this network with a layer more where it loads ImageNet weights."""
    backbone = backbones.find("EfficientNetB0")
    _, file = stand_in_imagenet(backbone, tmp_path)
    monkeypatch.setattr(file_utils, "get_file", lambda *_, **__: str(file))
    monkeypatch.setattr(devices, "precision", lambda mixed: "mixed_bfloat16")  # as where there is a GPU, whose float16 takes minutes here
    # Recalibrated, a random network of this depth enlarges the rounding of bfloat16, and what it learns of 24 images is a matter of chance.
    model = config(backbone="EfficientNetB0", weights="imagenet", mixed_precision=True, bn_recalibration="none")
    run_fn(SimpleNamespace(**arguments(tmp_path, records, transform_dir, model)))
    uri = str(tmp_path / "model")
    served = tf.saved_model.load(artifact.serving_dir(uri)).signatures["image_bytes"]
    for name, split in (("train", splits.train), ("val", splits.val)):
        kept = predictions.load(uri, name).probabilities
        answered = served(image_bytes=tf.constant(list(split.images)))["probabilities"].numpy()
        assert np.abs(answered - kept).mean() < 0.03, name
        if name == "train":
            assert (answered.argmax(axis=1) == split.labels).mean() > 0.8


@pytest.mark.slow
def test_two_trainings_export_the_same_files(tmp_path, records, transform_dir, config):
    """One in a process that is forked as nodes' are, one started afresh: they hash strings otherwise."""

    def exported(name, start):
        given = json.dumps(arguments(tmp_path / name, records, transform_dir, config(head_training={"epochs": 2})))
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONHASHSEED": "1"}  # read where Python starts
        child = start([sys.executable if start is afresh else "python", "-c", CHILD, given], cwd=Path.cwd(), env=environment, timeout=600)
        assert child.returncode == 0, child.stderr[-2000:]
        folder = tmp_path / name / "model" / "Format-Serving"
        return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}

    afresh = functools.partial(subprocess.run, capture_output=True, text=True)
    first, second = exported("first", afresh), exported("second", prepared.run)
    assert sorted(first) == sorted(second)
    assert [name for name in first if first[name] != second[name]] == []


@pytest.mark.slow
def test_two_trainings_of_one_state_folder_at_once_end_well(tmp_path, records, quick_transform_dir, config):
    """As two runs on Kubeflow do, or a trainer that is tried again while the pod that was given up still runs."""
    cache = tmp_path / "cache.json"
    cache.write_text(Place(folder=tmp_path / "features").model_dump_json())

    def train(name, *meeting, **more):
        model = config(head_training={"epochs": 3}, augmentation={"rotation": 10, "variants": 1})
        given = arguments(tmp_path / name, records, quick_transform_dir, model, folds=2, **more)
        code = MEETING.format(child=textwrap.indent(CHILD, "    ")) if meeting else CHILD
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        child = prepared.run(["python", "-c", code, json.dumps(given), *meeting], cwd=Path.cwd(), env=environment, timeout=600)
        assert child.returncode == 0, child.stderr[-2000:]
        return child.stderr, predictions.load(str(tmp_path / name / "model"), "val").probabilities

    shared = {"state_dir": str(tmp_path / "state"), "feature_cache": str(cache)}
    with ThreadPoolExecutor() as threads:
        alone = threads.submit(train, "alone")
        one = threads.submit(train, "one", tmp_path / "one.here", tmp_path / "other.here", **shared)
        other = threads.submit(train, "other", tmp_path / "other.here", tmp_path / "one.here", **shared)
        _, expected = alone.result()
        found = [one.result(), other.result()]
    for _, probabilities in found:
        np.testing.assert_allclose(probabilities, expected, atol=1e-3)
    assert sorted(text.count("another process has it") for text, _ in found) == [0, 1]
    assert list((tmp_path / "state" / "mobilenet").iterdir()) == []
    np.testing.assert_allclose(train("after", **shared)[1], expected, atol=1e-3)  # with what both have put into the cache
    history = json.loads((tmp_path / "after" / "run" / "history.json").read_text())
    assert history["features_from_cache"] == {"train": [48, 48], "val": [9, 9]}


@pytest.mark.seconds
def test_faults(tmp_path, records, transform_dir, config, make_example, write):
    wrong = arguments(tmp_path, records, transform_dir, config())
    wrong["custom_config"]["model"]["head_training"]["epochs"] = 0
    with pytest.raises(CxrError, match="model.head_training.epochs"):
        run_fn(SimpleNamespace(**wrong))
    misnamed = arguments(tmp_path, records, transform_dir, config())
    misnamed["custom_config"]["max_sides"] = misnamed["custom_config"].pop("max_side")
    with pytest.raises(CxrError, match=r"(?s)max_side: Field required.*max_sides: Extra inputs"):
        run_fn(SimpleNamespace(**misnamed))
    few = arguments(tmp_path, records, transform_dir, config())
    few["train_files"] = [write(tmp_path / "few" / "a.gz", [make_example(0)])]
    with pytest.raises(CxrError, match="training split: 1 image;"):
        run_fn(SimpleNamespace(**few))


@pytest.mark.slow
def test_killed_training_goes_on_where_it_was(tmp_path, records, quick_transform_dir, config):
    model = config(
        head_training={"epochs": 3, "batch_size": 8},
        fine_tuning={"epochs": 6, "batch_size": 8, "last_layers": 6, "optimizer": {"learning_rate": 1e-3}},
        augmentation={"rotation": 10, "variants": 1},
    )

    def start(name):
        (tmp_path / name).mkdir(exist_ok=True)
        given = SimpleNamespace(**arguments(tmp_path / name, records, quick_transform_dir, model))
        child = multiprocessing.get_context("forkserver").Process(target=with_small_mobilenet, args=(run_fn, given))  # as nodes are started
        child.start()
        return child

    def finished(name):
        child = start(name)
        child.join(600)
        assert child.exitcode == 0
        return json.loads((tmp_path / name / "run" / "history.json").read_text())["stages"]

    start_fork_server()
    expected = finished("whole")

    child = start("killed")
    while not list((tmp_path / "killed" / "state").glob("mobilenet/*/fine_tuning/epoch-*")):
        assert child.exitcode is None
        time.sleep(0.02)
    child.kill()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "run" / "history.json").exists()

    stages = finished("killed")
    assert stages[0]["resumed_from"] == 3
    assert 1 <= stages[1]["resumed_from"] <= 6
    for stage, other in zip(stages, expected, strict=True):
        for key in ("loss", "val_loss"):
            np.testing.assert_allclose([row[key] for row in stage["rows"]], [row[key] for row in other["rows"]], rtol=1e-3)
    whole, killed = (predictions.load(str(tmp_path / name / "model"), "val").probabilities for name in ("whole", "killed"))
    np.testing.assert_allclose(whole, killed, atol=1e-3)
