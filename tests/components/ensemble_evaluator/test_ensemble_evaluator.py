"""TFX's real Evaluator on what an ensemble's members have answered; there is no SavedModel of the ensemble that it could run."""

import numpy as np
import pytest
import tensorflow as tf
from artifacts import export_constant, of
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import json_utils, proto_utils

from cxr.components.ensemble_evaluator.executor import Executor
from cxr.components.metrics.evaluation import read_answers, read_evaluation
from cxr.core import features
from cxr.core.errors import CxrError
from cxr.pipeline.gate import Gate, eval_config
from cxr.trainer import artifact
from cxr.trainer.ensemble.joining import joint_layers
from cxr.trainer.ensemble.voting import WeightedVote

BEAM = ["--direct_running_mode=in_memory", "--direct_num_workers=1", "--sdk_container_image=none"]
TRUE = [number % 3 for number in range(12)]
ALWAYS_NORMAL = [2] * 12


@pytest.fixture
def evaluate(tmp_path, raw_examples, write_metrics):
    """Returns a function that evaluates the ensemble of two members, given by the classes they take; and gives the evaluation."""
    (tmp_path / "examples/Split-test").mkdir(parents=True)
    with tf.io.TFRecordWriter(str(tmp_path / "examples/Split-test/data.gz"), "GZIP") as writer:
        for example in raw_examples:
            writer.write(example)
    model = str(tmp_path / "ensemble")
    artifact.write_info(
        artifact.serving_dir(model), {"name": "ensemble", "class_names": list(features.CLASS_NAMES), "image_size": 32, "weights": "none"}
    )
    artifact.make_parent(artifact.joint_path(model))
    joint_layers(WeightedVote([0.75, 0.25]), members=2, classes=3).save(artifact.joint_path(model))

    def run(*taken, baseline=None):
        members = [tmp_path / f"member{number}" for number in range(len(taken))]
        for folder, classes in zip(members, taken, strict=True):
            write_metrics(folder, classes)
        split_names = artifact_utils.encode_split_names(["test"])
        inputs = {
            "examples": of(standard_artifacts.Examples, tmp_path / "examples", split_names=split_names),
            "model": of(standard_artifacts.Model, model),
            **{f"member_{number}": of(standard_artifacts.ModelEvaluation, folder) for number, folder in enumerate(members, 1)},
        }
        if baseline:
            inputs["baseline_model"] = of(standard_artifacts.Model, baseline)
        evaluation = of(standard_artifacts.ModelEvaluation, tmp_path / "evaluation")
        properties = {
            "eval_config": proto_utils.proto_to_json(eval_config(Gate(min_accuracy=0.5), "ensemble")),
            "example_splits": json_utils.dumps(["test"]),
        }
        blessing = of(standard_artifacts.ModelBlessing, tmp_path / "blessing")
        context = BaseBeamExecutor.Context(beam_pipeline_args=BEAM, tmp_dir=str(tmp_path / "tmp"), unique_id="1")
        Executor(context).Do(inputs, {"evaluation": evaluation, "blessing": blessing}, properties)
        assert blessing[0].get_string_custom_property("current_model") == model
        return evaluation[0].uri

    return run


def test_the_members_answers_are_joined(evaluate):
    uri = evaluate(TRUE, ALWAYS_NORMAL)
    answers = read_answers(uri)
    assert answers
    _, labels, probabilities = answers
    eye = np.eye(3)
    np.testing.assert_allclose(probabilities, 0.1 + 0.7 * (0.75 * eye[labels] + 0.25 * eye[[2] * 12]), atol=1e-6)
    assert sorted(labels) == sorted(TRUE)
    assert read_evaluation(uri).accuracy == 1
    assert read_evaluation(uri).baseline_accuracy is None


def test_a_pushed_version_is_asked_itself(evaluate, tmp_path):
    export_constant(str(tmp_path / "pushed"))
    found = read_evaluation(evaluate(ALWAYS_NORMAL, TRUE, baseline=tmp_path / "pushed"))
    assert (found.accuracy, found.baseline_accuracy) == pytest.approx((1 / 3, 1 / 3))
    assert found.confusion_matrix == ((0, 0, 4), (0, 0, 4), (0, 0, 4))


def test_members_that_saw_other_images_are_refused(evaluate):
    with pytest.raises(CxrError, match="member1: the members were evaluated on different images"):
        evaluate(TRUE, TRUE[:11])


def test_images_that_no_member_saw_are_refused(evaluate):
    with pytest.raises(Exception, match="on images that its members were not"):
        evaluate(TRUE[:11], TRUE[:11])
