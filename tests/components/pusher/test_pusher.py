"""Baseline, TFX's Evaluator and Pusher together, through ML Metadata, on tiny SavedModels whose accuracy is set exactly."""

from pathlib import Path

import artifacts
import numpy as np
import pytest
import tensorflow as tf
from tfx import v1 as tfx
from tfx.orchestration import metadata
from tfx.types import standard_artifacts

from cxr.components.baseline import champion
from cxr.components.baseline.push_record import read_record
from cxr.components.baseline.rule import JudgedOn, choose
from cxr.components.baseline.strategy import MODEL, PushedBaseline, as_artifact
from cxr.components.infra_check import checked
from cxr.components.metrics import names
from cxr.components.model_card.card import MARKDOWN
from cxr.components.pusher.component import Pusher
from cxr.components.pusher.executor import SHORTCUT_BLESSING
from cxr.components.pusher.known import NO_CHAMPION, Known
from cxr.components.shortcut_check.verdict import ShortcutVerdict
from cxr.core import features
from cxr.pipeline.gate import Gate, eval_config
from cxr.trainer import artifact, model_info
from cxr.trainer.training_data import image_keys, save_training_images

EXAMPLES = 60
BEAM = ["--runner=FnApiRunner", "--direct_running_mode=in_memory", "--direct_num_workers=1", "--sdk_container_image=none"]
JUDGED_ON = JudgedOn(features.CLASS_NAMES, image_keys("xyz"), synthetic=False)


class Classifier(artifacts.NumbersLabels):
    """Gets the first `wrong` examples wrong; an "image" is its one-hot label and its number."""

    def __init__(self, wrong: int):
        super().__init__()
        self.wrong = tf.Variable(float(wrong))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=features.EXAMPLES)])
    def serve(self, examples):
        parsed = tf.io.parse_example(examples, {features.IMAGE: tf.io.FixedLenFeature([], tf.string)})
        image = tf.reshape(tf.io.decode_raw(parsed[features.IMAGE], tf.float32), [-1, 4])
        right = image[:, :3]
        return {features.PROBABILITIES: tf.where(image[:, 3:] < self.wrong, tf.roll(right, 1, axis=1), right)}


@tfx.dsl.components.component
def Train(model: tfx.dsl.components.OutputArtifact[standard_artifacts.Model], wrong: tfx.dsl.components.Parameter[int]):
    module, folder = Classifier(wrong), artifact.serving_dir(model.uri)
    signatures = {features.SIGNATURE_EXAMPLES: module.serve, features.SIGNATURE_LABELS: module.labels}
    tf.saved_model.save(module, folder, signatures=signatures)
    model_info.write_info(
        folder, {"name": "tiny", "class_names": features.CLASS_NAMES, "image_size": 32, "synthetic": False, "preprocessing": {}}
    )
    save_training_images(folder, image_keys("abc"))


@tfx.dsl.components.component
def Check(
    model: tfx.dsl.components.InputArtifact[standard_artifacts.Model],
    blessing: tfx.dsl.components.OutputArtifact[standard_artifacts.InfraBlessing],
):
    blessing.set_int_custom_property("blessed", 1)
    Path(blessing.uri).mkdir(parents=True, exist_ok=True)
    checked.note(Path(blessing.uri), champion.fingerprint(Path(artifact.serving_dir(model.uri))))


@tfx.dsl.components.component
def CheckShortcuts(blessing: tfx.dsl.components.OutputArtifact[standard_artifacts.InfraBlessing]):
    blessing.set_int_custom_property("blessed", 1)
    nothing_asked = {"margin": None, "comparisons": (), "masked": (), "reasons": ()}
    ShortcutVerdict(model="tiny", split="test", balanced_accuracy=1, **nothing_asked).save(Path(blessing.uri))


def test_a_pusher_asks_for_the_shortcut_checks_blessing():
    assert not Pusher.SPEC_CLASS.INPUTS[SHORTCUT_BLESSING].optional


@pytest.fixture
def examples_uri(tmp_path):
    (tmp_path / "examples" / "Split-test").mkdir(parents=True)
    with tf.io.TFRecordWriter(str(tmp_path / "examples" / "Split-test" / "data-00000-of-00001.gz"), "GZIP") as writer:
        for number in range(EXAMPLES):
            image = np.append(np.eye(3)[number % 3], number).astype(np.float32).tobytes()
            values = {features.IMAGE: image, features.LABEL: features.CLASS_NAMES[number % 3].encode()}
            values |= dict.fromkeys(features.SLICE_FEATURES[1:], b"one")
            values[features.PATIENT_ID] = f"patient{number}".encode()
            feature = {key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value])) for key, value in values.items()}
            writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    return str(tmp_path / "examples")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "serving_models" / "tiny"


@pytest.fixture
def run(tmp_path, folder, examples_uri):
    """Returns a function that trains a model, judges and pushes it; returns the choice of its baseline and the number of evaluations."""
    connection = metadata.sqlite_metadata_connection_config(str(tmp_path / "metadata.db"))

    def call(wrong):
        choice = choose(folder / champion.POINTER, JUDGED_ON)
        examples = tfx.dsl.Importer(examples_uri, standard_artifacts.Examples, properties={"split_names": '["test"]'}).with_id("Examples")
        train = Train(wrong=wrong)
        model = train.outputs["model"]
        config = {
            "baseline": as_artifact(choice.baseline, tmp_path / "links"),
            "champion": choice.champion.source if choice.champion else "",
            "previous": as_artifact(choice.previous, tmp_path / "links"),
        }
        baseline = tfx.dsl.Resolver(strategy_class=PushedBaseline, config=config, **{MODEL: model}).with_id("Baseline")
        evaluator = tfx.components.Evaluator(
            examples=examples.outputs["result"],
            model=model,
            baseline_model=baseline.outputs[MODEL],
            example_splits=["test"],
            eval_config=eval_config(Gate(min_accuracy=0.5, tolerance=0.04), "tiny", code_version=""),
        )
        check, shortcuts = Check(model=model), CheckShortcuts()
        pusher = Pusher(
            model=model,
            model_blessing=evaluator.outputs["blessing"],
            infra_blessing=check.outputs["blessing"],
            shortcut_blessing=shortcuts.outputs["blessing"],
            evaluation=evaluator.outputs["evaluation"],
            models_folder=str(folder),
            known=Known(
                pipeline="tiny",
                split="test",
                champion=choice.champion.version if choice.champion else NO_CHAMPION,
                baseline=choice.baseline.name if choice.baseline else None,
            ),
        )
        pipeline = tfx.dsl.Pipeline(
            "tiny",
            str(tmp_path / "root"),
            components=[examples, train, baseline, evaluator, check, shortcuts, pusher],
            enable_cache=True,
            metadata_connection_config=connection,
            beam_pipeline_args=BEAM,
        )
        tfx.orchestration.LocalDagRunner().run(pipeline)
        with metadata.Metadata(connection) as handle:
            return choice, len(handle.store.get_artifacts_by_type("ModelEvaluation"))

    return call


@pytest.mark.slow
def test_many_runs_within_the_tolerance_do_not_add_up_to_a_decline(run, folder):
    def current():
        found = champion.read(folder / champion.POINTER)
        assert found is not None
        return found

    def record_of(version):
        found = read_record(version.folder)
        assert found is not None
        return found

    # Nothing pushed yet: the bounds decide alone
    choice, _ = run(wrong=6)
    first = current()
    record = record_of(first)
    assert choice.baseline is None
    assert (record.metrics["accuracy"], record.baseline, record.floor) == (0.9, None, first.version)
    assert (record.pipeline, record.source) == ("tiny", first.source)
    assert record.run
    card = (first.folder / MARKDOWN).read_text()
    assert card.startswith("---\nlicense: other\n")
    assert f"# tiny, version {first.version}" in card
    assert "| accuracy | 0.900 (" in card
    assert list(record.figures) == list(names.FIGURES)
    assert f"| accuracy | {record.figures['accuracy']} |" in card

    # The same again: neither judged nor pushed a second time
    _, evaluations = run(wrong=6)
    assert (evaluations, current()) == (1, first)

    # A little worse, within the tolerance: pushed, but the measure stays
    choice, _ = run(wrong=8)
    second = current()
    record = record_of(second)
    assert choice.baseline == first.folder
    assert record.baseline is not None
    assert (record.baseline.version, record.baseline.metrics["accuracy"], record.floor) == (first.version, 0.9, first.version)
    assert second.version != first.version

    # Within the tolerance of the last one, not of the best one: refused
    choice, _ = run(wrong=10)
    assert choice.baseline == first.folder
    assert current() == second

    # Better than all before, by what chance does: pushed, and the measure stays
    run(wrong=5)
    third = current()
    assert third.version != second.version
    assert record_of(third).floor == first.version

    # Surely better than all before: the new measure
    run(wrong=0)
    third = current()
    assert record_of(third).floor == third.version
    assert choose(folder / champion.POINTER, JUDGED_ON).baseline == third.folder
