"""Audit, Evaluator, ShortcutCheck and Pusher together, through ML Metadata: a model that knows less than brightness is not pushed."""

from pathlib import Path

import pytest
import tensorflow as tf
from artifacts import export_constant
from tfx import v1 as tfx
from tfx.orchestration import metadata
from tfx.types import standard_artifacts

from cxr.components.audit.component import Audit
from cxr.components.ensemble_trainer.executor import MEMBER
from cxr.components.infra_check.reasons import REASONS
from cxr.components.pusher.component import Pusher
from cxr.components.pusher.known import Known
from cxr.components.shortcut_check.component import ShortcutCheck
from cxr.components.shortcut_check.verdict import ShortcutVerdict
from cxr.data.audit.audit_config import Audit as Settings
from cxr.data.audit.result import AuditResult
from cxr.pipeline.gate import Gate, eval_config
from cxr.trainer.model_config import MOST_MEMBERS

BEAM = ["--runner=FnApiRunner", "--direct_running_mode=in_memory", "--direct_num_workers=1", "--sdk_container_image=none"]
CLASSES = '["covid19", "pneumonia", "normal"]'


@tfx.dsl.components.component
def Train(model: tfx.dsl.components.OutputArtifact[standard_artifacts.Model]):
    export_constant(model.uri)


@tfx.dsl.components.component
def Check(blessing: tfx.dsl.components.OutputArtifact[standard_artifacts.InfraBlessing]):
    blessing.set_int_custom_property("blessed", 1)
    Path(blessing.uri).mkdir(parents=True, exist_ok=True)
    (Path(blessing.uri) / "INFRA_BLESSED").touch()


def test_it_has_an_input_for_each_member_that_an_ensemble_may_have():
    inputs = {name for name in ShortcutCheck.SPEC_CLASS.INPUTS if name.startswith(MEMBER.format(""))}
    assert inputs == {MEMBER.format(number) for number in range(1, MOST_MEMBERS + 1)}


@pytest.mark.slow
def test_a_model_that_knows_less_than_brightness_is_not_pushed(tmp_path, raw_examples):
    for split in ("train", "test"):
        (tmp_path / f"examples/Split-{split}").mkdir(parents=True)
        with tf.io.TFRecordWriter(str(tmp_path / f"examples/Split-{split}/data.gz"), "GZIP") as writer:
            for example in raw_examples:
                writer.write(example)
    properties = {"split_names": '["train", "test"]'}
    examples = tfx.dsl.Importer(str(tmp_path / "examples"), standard_artifacts.Examples, properties=properties).with_id("Examples")
    train, settings = Train(), Settings(folds=2, masked_images=6).model_dump_json()
    audit = Audit(examples=examples.outputs["result"], class_names=CLASSES, split="test", settings=settings, code_version="")
    evaluator = tfx.components.Evaluator(
        examples=examples.outputs["result"],
        model=train.outputs["model"],
        example_splits=["test"],
        eval_config=eval_config(Gate(min_accuracy=0.3, above_chance=False), "tiny", code_version=""),
    )
    check, shortcuts = (
        Check(),
        ShortcutCheck(
            model=train.outputs["model"],
            evaluation=evaluator.outputs["evaluation"],
            audit=audit.outputs["audit"],
            examples=examples.outputs["result"],
            model_name="tiny",
            class_names=CLASSES,
            margin="0.0",
            settings=settings,
            code_version="",
        ),
    )
    pusher = Pusher(
        model=train.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        infra_blessing=check.outputs["blessing"],
        shortcut_blessing=shortcuts.outputs["blessing"],
        evaluation=evaluator.outputs["evaluation"],
        models_folder=str(tmp_path / "models"),
        known=Known(pipeline="tiny", split="test"),
    )
    connection = metadata.sqlite_metadata_connection_config(str(tmp_path / "metadata.db"))
    tfx.orchestration.LocalDagRunner().run(
        tfx.dsl.Pipeline(
            "tiny",
            str(tmp_path / "root"),
            components=[examples, train, audit, evaluator, check, shortcuts, pusher],
            metadata_connection_config=connection,
            beam_pipeline_args=BEAM,
        )
    )
    with metadata.Metadata(connection) as handle:
        (evaluated,) = handle.store.get_artifacts_by_type("ModelBlessing")
        (audited,) = handle.store.get_artifacts_by_type("ExampleAnomalies")
        blessings = {Path(found.uri).parts[-3]: found for found in handle.store.get_artifacts_by_type("InfraBlessing")}
        (pushed,) = handle.store.get_artifacts_by_type("PushedModel")
    assert evaluated.custom_properties["blessed"].int_value == 1  # the gate's bounds hold
    result = AuditResult.load(Path(audited.uri))
    assert result.ranked[0].gate is not None
    assert result.ranked[0].gate.balanced_accuracy.value == 1  # the same images in both splits
    verdict = ShortcutVerdict.load(Path(blessings["ShortcutCheck"].uri))
    assert blessings["ShortcutCheck"].custom_properties["blessed"].int_value == 0
    assert verdict.balanced_accuracy == pytest.approx(1 / 3)
    assert [answers.blacked_out for answers in verdict.masked] == ["centre", "border"]
    assert all(answers.images == 6 for answers in verdict.masked)
    assert "is no better than" in (Path(blessings["ShortcutCheck"].uri) / REASONS).read_text()
    assert pushed.custom_properties["pushed"].int_value == 0
    assert not list((tmp_path / "models").glob("*/saved_model.pb"))
