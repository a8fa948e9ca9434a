import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from artifacts import of
from session_check import check_export
from tfx.dsl.components.common.importer import Importer
from tfx.dsl.io import fileio
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner
from tfx.types import standard_artifacts
from transformed import images_of

from cxr.components.ensemble_trainer.component import EnsembleTrainer
from cxr.components.ensemble_trainer.executor import Executor
from cxr.core import features
from cxr.core.errors import CxrError
from cxr.trainer import artifact, files, model_info, predictions
from cxr.trainer.calibration.temperature import apply
from cxr.trainer.ensemble.joint_answers import joint_answers
from cxr.trainer.export.recorded_requests import RECORDED_REQUESTS, log_of, predict_request, write_logs
from cxr.trainer.model_config import Ensemble, Stage
from cxr.trainer.models.keras_files import load_model
from cxr.trainer.phantoms import phantoms
from cxr.trainer.training_data import image_keys, load_training_images, save_training_images

CLASSES = ["covid19", "pneumonia", "normal"]
SIZE = 32
NAMES = ["one", "two"]


def member(seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    image = keras.Input([SIZE, SIZE, 3])
    small = keras.Input([SIZE, SIZE, 3])
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3, strides=4)(small))
    backbone = keras.Model(small, x, name="backbone")
    pooled = keras.layers.GlobalAveragePooling2D()(backbone(image))
    return keras.Model(image, keras.layers.Dense(3, activation="softmax")(pooled), name="member")


@pytest.fixture(scope="module")
def images(transform, raw_examples):
    return images_of(transform, raw_examples)


def record(uri: str, answers: np.ndarray) -> None:
    """Records what a member answered to the pictures that all exports are asked about."""
    request = predict_request("member", features.SIGNATURE_BYTES, {features.SIGNATURE_BYTES: np.array([b"picture"], object)})
    logs = [log_of(request, {features.PROBABILITIES: answer[None]}) for answer in answers]
    write_logs(artifact.serving_dir(uri), RECORDED_REQUESTS, logs)


@pytest.fixture
def members(images, transform, tmp_path) -> list[str]:
    """Two Model artifacts as Trainers leave them, but of the SavedModel only what is needed: its description and recorded answers."""
    uris = []
    for seed, name in enumerate(NAMES):
        uri = str(tmp_path / name)
        model = member(seed)
        files.make_parent(artifact.keras_path(uri))
        model.save(artifact.keras_path(uri))
        info = {
            "name": name,
            "class_names": CLASSES,
            "image_size": SIZE,
            "max_side": 700,
            "backbone": "Small",
            "weights": "none",
            "weights_note": "random",
        }
        info |= {"synthetic": True, "data": {"fingerprint": "f", "images": {"train": {}}, "synthetic": 12}}
        model_info.write_info(artifact.serving_dir(uri), info)
        save_training_images(artifact.serving_dir(uri), image_keys(f"{i}" for i in range(12)))
        record(uri, np.asarray(model(transform.images(tf.constant(phantoms())))))
        answers = model.predict(images, verbose=0)
        for split in ("train", "val", artifact.TRAIN_OOF):
            order = np.random.default_rng(seed).permutation(12)
            predictions.save(uri, split, [f"{i}" for i in order], [i % 3 for i in order], answers[order])
        uris.append(uri)
    return uris


@pytest.fixture
def run(members, raw_examples, transform_dir, tmp_path):
    """Returns a function that runs the executor and returns the URIs of model and model run."""
    for split in ("train", "val"):
        folder = tmp_path / "examples" / f"Split-{split}"
        folder.mkdir(parents=True)
        with tf.io.TFRecordWriter(str(folder / "data_tfrecord-00000-of-00001.gz"), "GZIP") as writer:
            for example in raw_examples:
                writer.write(example)

    def call(config: Ensemble, splits=("train", "val")) -> tuple[str, str]:
        inputs = {
            "examples": of(standard_artifacts.Examples, tmp_path / "examples", split_names=json.dumps(splits)),
            "transform_graph": of(standard_artifacts.TransformGraph, transform_dir),
            "member_1": of(standard_artifacts.Model, members[0]),
            "member_2": of(standard_artifacts.Model, members[1]),
        }
        outputs = {
            "model": of(standard_artifacts.Model, tmp_path / "model"),
            "model_run": of(standard_artifacts.ModelRun, tmp_path / "run"),
        }
        properties = {
            "member_names": json.dumps(NAMES),
            "ensemble": config.model_dump_json(),
            "class_names": json.dumps(CLASSES),
        }
        Executor().Do(inputs, outputs, properties)
        return outputs["model"][0].uri, outputs["model_run"][0].uri

    return call


@pytest.mark.slow
def test_the_ensemble_answers_with_its_members(run, members, images, raw_examples):
    model_uri, run_uri = run(Ensemble(method="soft", calibration="none"))
    parts = [np.asarray(load_model(uri)(images)) for uri in members]
    np.testing.assert_allclose(load_model(model_uri)(images), (parts[0] + parts[1]) / 2, atol=1e-5)

    signatures = tf.saved_model.load(artifact.serving_dir(model_uri)).signatures
    served = signatures["serving_default"](examples=tf.constant(raw_examples))
    np.testing.assert_allclose(served["probabilities_one"], parts[0], atol=1e-5)
    np.testing.assert_allclose(served["probabilities_two"], parts[1], atol=1e-5)
    np.testing.assert_allclose(served["probabilities"], (parts[0] + parts[1]) / 2, atol=1e-5)
    assert check_export(artifact.serving_dir(model_uri)) == 7

    info = model_info.read_info(model_uri)
    assert info.max_side == 700
    assert list(info.members) == NAMES
    assert info.members["one"].backbone == "Small"
    assert info.ensemble_method == "soft"
    assert info.weights_note == "one, two: random"
    assert info.synthetic
    assert signatures["image_reading"](image_reading=tf.constant([""]))[features.LEARNT_FROM_SYNTHETIC].numpy().tolist() == [True]
    assert info.data is not None
    assert info.data.keys_hash
    keys = load_training_images(artifact.serving_dir(model_uri), info.data)
    assert keys is not None
    assert info.data.synthetic == 12
    assert keys.tolist() == image_keys(f"{i}" for i in range(12)).tolist()
    assert not (Path(run_uri) / "learning_curves.png").exists()


@pytest.mark.slow
def test_the_ensemble_has_a_temperature_of_its_own(run, members, images, raw_examples):
    model_uri, _ = run(Ensemble(method="soft"))
    joined = sum(np.asarray(load_model(uri)(images)) for uri in members) / 2
    calibration = model_info.read_info(model_uri).calibration
    assert calibration is not None
    assert (calibration.split, calibration.images) == ("val", 12)
    assert abs(calibration.temperature - 1) > 0.01
    np.testing.assert_allclose(load_model(model_uri)(images), apply(joined, calibration.temperature), atol=1e-5)
    served = tf.saved_model.load(artifact.serving_dir(model_uri)).signatures["serving_default"](examples=tf.constant(raw_examples))
    np.testing.assert_allclose(served["probabilities"], apply(joined, calibration.temperature), atol=1e-5)
    alone = [np.asarray(load_model(uri)(images)) for uri in members]
    np.testing.assert_allclose(served["probabilities_one"], alone[0], atol=1e-5)
    np.testing.assert_allclose(joint_answers(model_uri, alone), served["probabilities"], atol=1e-5)


@pytest.mark.slow
def test_auto_reports_every_method_and_concat_leaves_its_curves(run):
    uri, run_uri = run(Ensemble(stage=Stage(epochs=2)))
    report = json.loads((Path(run_uri) / "history.json").read_text())
    assert set(report["validation"]["methods"]) == {"soft", "hard", "weighted", "stacking", "best"}
    assert report["data"]["weights"] == "the members' out-of-fold predictions for the training split, by patient"
    assert model_info.read_info(uri).data_used == report["data"]
    assert report["data"]["choice"] == "the validation split"
    assert set(report["validation"]["members"]) == set(NAMES)
    chosen = report["validation"]["methods"][report["method"]]
    assert chosen["accuracy"] >= max(score["accuracy"] for score in report["validation"]["members"].values())


@pytest.mark.slow
def test_the_papers_ensemble_needs_no_validation_split(run):
    _, run_uri = run(Ensemble(method="stacking", start="random", stage=Stage(epochs=2), fitted_on="training"), splits=("train",))
    (stage,) = json.loads((Path(run_uri) / "history.json").read_text())["stages"]
    assert [set(row) >= {"loss", "accuracy"} for row in stage["rows"]] == [True, True]
    assert (Path(run_uri) / "learning_curves.png").stat().st_size > 1000
    assert [file.parent.name for file in Path(run_uri).glob("tensorboard/*/events.*")] == ["train"]


@pytest.mark.slow
def test_a_member_that_answers_otherwise_alone_is_refused(run, members):
    record(members[1], np.tile(np.array([[1, 0, 0]], np.float32), [len(phantoms()), 1]))
    with pytest.raises(CxrError, match="inside the ensemble two does not answer as it does alone"):
        run(Ensemble(method="soft", calibration="none"))


@pytest.mark.slow
def test_a_member_without_recorded_answers_is_refused(run, members):
    record(members[0], np.empty([0, 3], np.float32))
    with pytest.raises(CxrError, match="inside the ensemble one does not answer as it does alone"):
        run(Ensemble(method="soft", calibration="none"))


@pytest.mark.seconds
def test_a_member_for_other_classes_is_refused(run, members):
    info = model_info.read_info(members[1]).model_dump(mode="json")
    model_info.write_info(artifact.serving_dir(members[1]), {**info, "class_names": ["a", "b", "c"]})
    with pytest.raises(CxrError, match="two was trained for a, b, c at 32 pixels"):
        run(Ensemble(method="soft"))


def nodes():
    made = {name: Importer(f"/models/{name}", standard_artifacts.Model).with_id(f"Importer-{name}") for name in NAMES}
    examples = Importer("/examples", standard_artifacts.Examples).with_id("Importer-examples")
    graph = Importer("/graph", standard_artifacts.TransformGraph).with_id("Importer-graph")
    trainer = EnsembleTrainer(
        members={name: node.outputs["result"] for name, node in made.items()},
        examples=examples.outputs["result"],
        transform_graph=graph.outputs["result"],
        ensemble=Ensemble(method="hard"),
        class_names=CLASSES,
        code_version="",
    )
    return [*made.values(), examples, graph, trainer]


def test_members_keep_their_order_in_the_component():
    trainer = nodes()[-1]
    assert json.loads(trainer.exec_properties["member_names"]) == NAMES
    assert {"member_1", "member_2"} <= set(trainer.inputs)
    assert "member_3" not in trainer.inputs
    assert Ensemble.model_validate_json(trainer.exec_properties["ensemble"]).method == "hard"


def test_one_member_is_no_ensemble():
    model = Importer("/models/one", standard_artifacts.Model)
    with pytest.raises(ValueError, match="2 to 8 members, 1 were given"):
        EnsembleTrainer({"one": model.outputs["result"]}, None, None, Ensemble(), CLASSES, "")


def test_it_compiles_for_kubeflow(tmp_path):
    file = tmp_path / "pipeline.json"
    runner = kubeflow_v2_dag_runner.KubeflowV2DagRunner(
        kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(default_image="example"), output_filename=str(file)
    )
    runner.run(tfx_pipeline.Pipeline("ensemble", "/root", components=nodes()))
    task = json.loads(fileio.open(str(file)).read())["pipelineSpec"]["root"]["dag"]["tasks"]["EnsembleTrainer"]
    producers = {key: value["taskOutputArtifact"]["producerTask"] for key, value in task["inputs"]["artifacts"].items()}
    assert producers["member_2"] == "Importer-two"
