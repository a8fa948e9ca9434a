import csv
import errno
import json
import os
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import typer
from dicom_files import dicom_bytes
from PIL import Image
from typer.testing import CliRunner

from cxr.cli import explain as command
from cxr.core.errors import CxrError, UsageError
from cxr.trainer import artifact, files, model_info
from cxr.trainer.ensemble.joining import joint_model
from cxr.trainer.ensemble.voting import WeightedVote
from cxr.trainer.explain.explanations import Explainer
from cxr.trainer.export.recorded_requests import image_of
from cxr.trainer.models.keras_files import load_model
from cxr.trainer.preprocessing import decode_and_crop

pytestmark = pytest.mark.seconds

SIZE, CLASSES = 32, ["covid19", "pneumonia", "normal"]


def member(seed):
    keras.utils.set_random_seed(seed)
    small = keras.Input([SIZE, SIZE, 3])
    backbone = keras.Model(small, keras.layers.Conv2D(4, 3, strides=8, activation="relu")(small), name="backbone")
    image = keras.Input([SIZE, SIZE, 3])
    pooled = keras.layers.GlobalAveragePooling2D()(backbone(image))
    return keras.Model(image, keras.layers.Dense(3, activation="softmax")(pooled))


@pytest.fixture(scope="module")
def uri(tmp_path_factory, quick_transform_dir):
    """A Model artifact of an ensemble, as far as explaining needs it."""
    uri = str(tmp_path_factory.mktemp("ensemble"))
    files.copy_folder(quick_transform_dir, artifact.transform_path(uri))
    joint_model({"one": member(1), "two": member(2)}, WeightedVote([0.5, 0.5]), SIZE).save(artifact.keras_path(uri))
    model_info.write_info(artifact.serving_dir(uri), {"name": "ensemble", "class_names": CLASSES, "image_size": SIZE})
    return uri


def test_images_are_read_as_before_training(uri, picture, tmp_path):
    copy = tmp_path / "model"
    shutil.copytree(uri, copy)
    model_info.write_info(artifact.serving_dir(str(copy)), {"name": "ensemble", "class_names": CLASSES, "image_size": SIZE, "max_side": 30})
    row = next(Explainer(str(copy)).explain(picture, tmp_path))
    with Image.open(tmp_path / row.overlay) as drawn:
        assert drawn.size == (30, 25)


def test_a_model_whose_images_were_read_by_other_rules_is_refused(uri, tmp_path):
    copy = tmp_path / "model"
    shutil.copytree(uri, copy)
    about = {"name": "ensemble", "class_names": CLASSES, "image_size": SIZE, "reading_rules": 99}
    model_info.write_info(artifact.serving_dir(str(copy)), about)
    with pytest.raises(CxrError, match="by rules 99"):
        Explainer(str(copy))


def test_a_model_whose_description_is_damaged_is_refused(uri, tmp_path):
    """It says by which rules images are read: without it they might be read otherwise than before training."""
    copy = tmp_path / "model"
    shutil.copytree(uri, copy)
    file = copy / "Format-Serving" / "assets.extra" / "model.json"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(CxrError, match=r"model\.json: not a description of a model: .*; put a copy back"):
        Explainer(str(copy))


@pytest.fixture
def picture(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (50, 60), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    return tmp_path / "x.png"


def test_one_overlay_per_member_of_the_class_that_the_ensemble_predicts(uri, picture, tmp_path):
    rows = list(Explainer(uri).explain(picture, tmp_path))
    assert [row.model for row in rows] == ["one", "two"]
    assert len({row.explained for row in rows}) == 1
    for row in rows:
        assert row.overlay == f"x_{row.model}_{row.explained}_{row.probability:.2f}.png"
        with Image.open(tmp_path / row.overlay) as drawn:
            assert (drawn.size, drawn.mode) == ((60, 50), "RGB")


def test_the_class_is_selectable_and_names_do_not_collide(uri, picture, tmp_path):
    explainer = Explainer(artifact.keras_path(uri))
    first = list(explainer.explain(picture, tmp_path, "normal"))
    second = list(explainer.explain(picture, tmp_path, "normal"))
    assert {row.explained for row in first} == {"normal"}
    assert first[0].overlay != second[0].overlay
    with pytest.raises(UsageError, match="--class flu: the model knows covid19, pneumonia, normal"):
        next(explainer.explain(picture, tmp_path, "flu"))


@pytest.fixture
def app():
    app = typer.Typer()
    app.callback()(lambda: None)
    command.register(app)
    return app


def test_the_command_goes_on_after_a_bad_image_and_fails_at_the_end(app, uri, picture, tmp_path):
    runs = tmp_path / "workspace" / "demo" / "runs" / "latest"
    runs.mkdir(parents=True)
    artifact = tmp_path / "workspace" / "demo" / "tfx" / "EnsembleTrainer" / "model" / "7"
    artifact.parent.mkdir(parents=True)
    artifact.symlink_to(uri)
    models = {"ensemble": {"outcome": "pushed", "model_uri": str(artifact)}, "broken": {"outcome": "failed", "model_uri": None}}
    (runs / "report.json").write_text(json.dumps({"pipeline": "demo", "models": models}))
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"not an image")
    out = tmp_path / "maps"
    options = ["--workspace", str(tmp_path / "workspace"), "--out", str(out)]
    result = CliRunner().invoke(app, ["explain", str(bad), str(picture), *options])
    assert result.exit_code == 1
    assert "bad.png" in result.output
    assert "1 of 2 images failed" in result.output
    with open(out / "explanations.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["model"] for row in rows] == ["one", "two"]
    assert all((out / row["overlay"]).is_file() for row in rows)

    assert {row["empty"] for row in rows} <= {"True", "False"}

    good = CliRunner().invoke(app, ["explain", str(picture), *options, "--class", "covid19"])
    assert good.exit_code == 0
    for arguments, message in (
        (["-m", "nope"], "has ensemble, broken"),
        (["-m", "broken"], "not trained in the latest run"),
        (["-p", "x"], "is not there"),
    ):
        error = CliRunner().invoke(app, ["explain", str(picture), *options, *arguments]).exception
        assert isinstance(error, UsageError)
        assert message in str(error)
    (runs / "report.json").write_text('{"models": {"ens')
    error = CliRunner().invoke(app, ["explain", str(picture), *options]).exception
    assert isinstance(error, CxrError)
    assert "report.json: cannot be read (Invalid JSON" in str(error)


def test_what_a_header_says_against_a_chest_x_ray_is_told(app, uri, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (40, 48)).astype(np.uint8)
    files = [tmp_path / "hand.dcm", tmp_path / "chest.dcm"]
    for file in files:
        file.write_bytes(dicom_bytes(noise, BodyPartExamined=file.stem.upper()))
    result = CliRunner().invoke(app, ["explain", *map(str, files), "-m", uri, "--out", str(tmp_path / "maps")])
    assert result.exit_code == 0
    assert result.output.count("hand.dcm: BodyPartExamined is HAND, not CHEST\n") == 1  # not once for each member
    with open(tmp_path / "maps" / "explanations.csv") as file:
        told = {(Path(row["image"]).name, row["remarks"]) for row in csv.DictReader(file)}
    assert told == {("hand.dcm", "BodyPartExamined is HAND, not CHEST"), ("chest.dcm", "")}


def test_a_picture_that_the_model_does_not_know_is_told(app, uri, tmp_path):
    """`cxr predict` said so, and this command gave a map and a class without a word."""
    copy = tmp_path / "model"
    shutil.copytree(uri, copy)
    border = {"share": 0.05, "flagged": 0.04, "split": "val", "images": 20}
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def image_bytes(image_bytes):
        pictures = tf.map_fn(tf.io.decode_png, image_bytes, fn_output_signature=tf.uint8)
        dark = tf.reduce_mean(tf.cast(pictures, tf.float32), axis=(1, 2, 3)) < 64
        return {"probabilities": tf.zeros([tf.shape(image_bytes)[0], 3]), "outside": dark}

    tf.saved_model.save(module, artifact.serving_dir(str(copy)), signatures={"image_bytes": image_bytes})
    info = {"name": "ensemble", "class_names": CLASSES, "image_size": SIZE, "outside": border}
    model_info.write_info(artifact.serving_dir(str(copy)), info)
    noise = np.random.default_rng(0).integers(0, 255, (50, 60), dtype=np.uint8)
    for name, pixels in (("dark", noise // 4), ("bright", noise)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    files = [str(tmp_path / "dark.png"), str(tmp_path / "bright.png")]
    result = CliRunner().invoke(app, ["explain", *files, "-m", str(copy), "--out", str(tmp_path / "maps")])
    assert result.exit_code == 0, result.output
    assert result.output.count("dark.png: outside of what the model knows\n") == 1  # not once for each member
    assert "bright.png: " not in result.output
    with open(tmp_path / "maps" / "explanations.csv") as file:
        assert {(Path(row["image"]).stem, row["outside"]) for row in csv.DictReader(file)} == {("dark", "True"), ("bright", "False")}


def test_a_missing_model_is_named(tmp_path):
    with pytest.raises(CxrError, match="no such Keras model"):
        Explainer(str(tmp_path))


def test_a_model_out_of_its_artifact_is_refused(app, uri, picture, tmp_path):
    """Its images were decoded and resized alone, whatever else it was trained with: a wrong map without a word."""
    shutil.copytree(uri, tmp_path / "artifact")
    file = str(shutil.copy(artifact.keras_path(uri), tmp_path / "mine.keras"))
    with pytest.raises(CxrError, match=r"mine\.keras: .*model\.json is not there, .*; give the folder of an artifact"):
        Explainer(file)
    shutil.rmtree(artifact.transform_path(str(tmp_path / "artifact")))
    arguments = ["-m", artifact.keras_path(str(tmp_path / "artifact")), "--out", str(tmp_path / "maps")]
    error = CliRunner().invoke(app, ["explain", str(picture), *arguments]).exception
    assert isinstance(error, CxrError)
    assert "transform_graph is not there" in str(error)
    assert list((tmp_path / "maps").iterdir()) == []


def test_a_file_is_known_from_within_its_folder(uri, monkeypatch):
    monkeypatch.chdir(Path(artifact.keras_path(uri)).parent)
    assert Explainer("model.keras").class_names == tuple(CLASSES)


def test_a_map_without_evidence_is_called_empty(uri, picture, tmp_path, app):
    model = load_model(uri)
    for member in ("one", "two"):
        last = model.get_layer(member).layers[-1]
        last.set_weights([np.zeros_like(weight) for weight in last.get_weights()])
    flat = shutil.copytree(uri, tmp_path / "flat")
    model.save(artifact.keras_path(str(flat)))
    result = CliRunner().invoke(app, ["explain", str(picture), "-m", str(flat), "--out", str(tmp_path / "maps")])
    assert "2 of 2 maps are empty" in result.output
    with open(tmp_path / "maps" / "explanations.csv") as file:
        assert [row["empty"] for row in csv.DictReader(file)] == ["True", "True"]


def test_a_single_model_goes_by_its_name(tmp_path, uri, picture):
    mine = str(shutil.copytree(uri, tmp_path / "mine"))
    load_model(uri).get_layer("one").save(artifact.keras_path(mine))
    model_info.write_info(artifact.serving_dir(mine), {"name": "mine", "class_names": CLASSES, "image_size": SIZE})
    (row,) = Explainer(mine).explain(picture, tmp_path)
    assert row.model == "mine"


def test_a_wrong_class_is_told_before_the_model_is_loaded(app, picture, tmp_path):
    uri = str(tmp_path / "artifact")  # only its description is there: loading it would fail
    model_info.write_info(artifact.serving_dir(uri), {"name": "ensemble", "class_names": CLASSES, "image_size": SIZE})
    error = CliRunner().invoke(app, ["explain", str(picture), "-m", uri, "--class", "flu", "--out", str(tmp_path / "maps")]).exception
    assert isinstance(error, UsageError)
    assert "--class flu" in str(error)


def test_heat_lies_on_what_the_graph_cut_out(uri, tmp_path, make_transform, chest_examples):
    copy = tmp_path / "model"
    shutil.copytree(uri, copy)
    shutil.rmtree(artifact.transform_path(str(copy)))
    files.copy_folder(make_transform(chest_examples, size=SIZE, crop="thorax"), artifact.transform_path(str(copy)))
    image = image_of(chest_examples[0])
    (tmp_path / "x.png").write_bytes(image)
    explainer = Explainer(str(copy))
    rows = [row for name in CLASSES for row in explainer.explain(tmp_path / "x.png", tmp_path, name)]
    row = next(row for row in rows if not row.empty)
    _, seen = decode_and_crop(tf.constant([image]), SIZE, crop="thorax")
    with Image.open(tmp_path / row.overlay) as drawn, Image.open(tmp_path / "x.png") as before:
        colour = np.ptp(np.asarray(drawn.convert("RGB")).astype(int), axis=2) > 3
        assert drawn.size == before.size
    top, left, bottom, right = np.round(seen.numpy()[0] * len(colour)).astype(int)
    assert bottom - top < 0.9 * len(colour)
    assert colour[top:bottom, left:right].any()
    colour[top:bottom, left:right] = False
    assert not colour.any()


def test_a_full_disk_ends_the_command_and_is_told_once(app, uri, picture, tmp_path, monkeypatch):
    def no_room(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_room)
    result = CliRunner().invoke(app, ["explain", str(picture), str(picture), "-m", uri, "--out", str(tmp_path / "maps")])
    assert isinstance(result.exception, CxrError)
    assert str(result.exception).startswith(f"{tmp_path / 'maps'}: No space left on device; make room there")
    assert "No space" not in result.output
    assert list((tmp_path / "maps").iterdir()) == []
