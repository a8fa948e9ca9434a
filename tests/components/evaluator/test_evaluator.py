"""TFX's real Evaluator on answers on record: of an ensemble's members (there is no SavedModel of it here), and of earlier evaluations."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from artifacts import export_constant, of
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import json_utils, proto_utils

from cxr.components.evaluator.executor import Executor
from cxr.components.metrics.evaluator_output import read_answers, read_evaluation
from cxr.core import beam_options, features
from cxr.core.errors import CxrError
from cxr.pipeline.gate import Gate, eval_config
from cxr.trainer import artifact, files, model_info
from cxr.trainer.ensemble.joining import joint_layers
from cxr.trainer.ensemble.voting import WeightedVote
from cxr.trainer.feature_cache.setting import Place

pytestmark = pytest.mark.seconds

BEAM = list(beam_options.local(1))
TRUE = [number % 3 for number in range(12)]
ALWAYS_NORMAL = [2] * 12


INFO = {"class_names": list(features.CLASS_NAMES), "image_size": 32, "weights": "none"}


@pytest.fixture
def run(tmp_path, raw_examples):
    """Returns a function that evaluates a model, and gives the evaluation."""

    def run(model, members=(), baseline=None, examples=raw_examples, feature_cache=None):
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        (folder / "examples/Split-test").mkdir(parents=True)
        with tf.io.TFRecordWriter(str(folder / "examples/Split-test/data.gz"), "GZIP") as writer:
            for example in examples:
                writer.write(example)
        split_names = artifact_utils.encode_split_names(["test"])
        inputs = {
            "examples": of(standard_artifacts.Examples, folder / "examples", split_names=split_names),
            "model": of(standard_artifacts.Model, model),
            **{f"member_{number}": of(standard_artifacts.ModelEvaluation, member) for number, member in enumerate(members, 1)},
        }
        if baseline:
            inputs["baseline_model"] = of(standard_artifacts.Model, baseline)
        evaluation = of(standard_artifacts.ModelEvaluation, folder / "evaluation")
        properties = {
            "eval_config": proto_utils.proto_to_json(eval_config(Gate(min_accuracy=0.5), "ensemble", code_version="")),
            "example_splits": json_utils.dumps(["test"]),
            "feature_cache": feature_cache,
        }
        blessing = of(standard_artifacts.ModelBlessing, folder / "blessing")
        context = BaseBeamExecutor.Context(beam_pipeline_args=BEAM, tmp_dir=str(folder / "tmp"), unique_id="1")
        Executor(context).Do(inputs, {"evaluation": evaluation, "blessing": blessing}, properties)
        assert blessing[0].get_string_custom_property("current_model") == str(model)
        return evaluation[0].uri

    return run


@pytest.fixture
def evaluate(run, tmp_path, write_metrics):
    """Returns a function that evaluates the ensemble of two members, given by the classes they take; and gives the evaluation."""
    model = str(tmp_path / "ensemble")
    model_info.write_info(artifact.serving_dir(model), {"name": "ensemble", **INFO})
    files.make_parent(artifact.joint_path(model))
    joint_layers(WeightedVote([0.75, 0.25]), members=2, classes=3).save(artifact.joint_path(model))

    def evaluate(*taken, baseline=None):
        members = [tmp_path / f"member{number}" for number in range(len(taken))]
        for folder, classes in zip(members, taken, strict=True):
            write_metrics(folder, classes)
        return run(model, members, baseline)

    return evaluate


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


def test_a_pushed_version_without_record_is_asked_itself(evaluate, tmp_path):
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


@pytest.fixture
def cache(tmp_path):
    """The file that says where answers are kept."""
    file = tmp_path / "feature_cache.json"
    Place(folder=tmp_path / "kept").write(file)
    return str(file)


@pytest.fixture
def models(tmp_path):
    """Two models that differ in nothing but a variable's value."""
    for name, answer in (("first", (0.6, 0.3, 0.1)), ("second", (0.1, 0.3, 0.6))):
        export_constant(str(tmp_path / name), answer)
        model_info.write_info(artifact.serving_dir(str(tmp_path / name)), {"name": "constant", **INFO})
    shutil.copy(tmp_path / "first/Format-Serving/saved_model.pb", tmp_path / "second/Format-Serving")  # functions are numbered as they come
    return tmp_path / "first", tmp_path / "second"


def cannot_answer(model):
    """Takes a SavedModel's variables away: it can still be told by its graph and the index."""
    (data,) = (model / "Format-Serving/variables").glob("variables.data-*")
    data.unlink()


def classes_taken(evaluation):
    answers = read_answers(evaluation)
    assert answers
    return set(answers[2].argmax(axis=1).tolist())


def test_a_pushed_version_is_not_asked_about_what_it_was_evaluated_on(run, models, cache, tmp_path):
    first, second = models
    assert classes_taken(run(first, feature_cache=cache)) == {0}
    pushed = shutil.copytree(first, tmp_path / "links/1")
    (pushed / "Format-Serving/assets.extra/model_card.json").write_text("{}")  # the Pusher's
    cannot_answer(pushed)
    evaluation = run(second, baseline=pushed, feature_cache=cache)
    assert classes_taken(evaluation) == {2}  # no other model's answers are taken for its own
    expected = read_evaluation(run(second, baseline=first))  # both are asked
    found = read_evaluation(evaluation)
    assert (found.accuracy, found.baseline_accuracy) == (expected.accuracy, expected.baseline_accuracy)
    assert found.confusion_matrix == expected.confusion_matrix


def test_a_model_is_asked_about_images_without_record(run, models, cache, raw_examples):
    first, _ = models
    run(first, examples=raw_examples[:7], feature_cache=cache)
    answers = read_answers(run(first, feature_cache=cache))
    assert answers
    assert len(answers[0]) == len(raw_examples)
    run(first, examples=raw_examples[::-1], feature_cache=cache)  # now there are records of all
    cannot_answer(first)
    assert read_evaluation(run(first, feature_cache=cache)).accuracy == pytest.approx(1 / 3)


def test_examples_without_hash_are_asked_about_each_time(run, models, cache, tmp_path, raw_examples):
    nameless = []
    for raw in raw_examples:
        example = tf.train.Example.FromString(raw)
        del example.features.feature[features.CONTENT_HASH]
        nameless.append(example.SerializeToString())
    assert read_evaluation(run(models[0], examples=nameless, feature_cache=cache)).examples == len(nameless)
    assert not (tmp_path / "kept").exists()


def test_an_example_without_label_is_refused_as_a_saved_model_does(run, models, cache, raw_examples):
    example = tf.train.Example.FromString(raw_examples[0])
    del example.features.feature[features.LABEL]
    with pytest.raises(Exception, match=f"signature_name: {features.SIGNATURE_LABELS}"):
        run(models[0], examples=[*raw_examples[1:], example.SerializeToString()], feature_cache=cache)


def test_without_a_cache_nothing_is_kept(run, models, tmp_path):
    run(models[0])
    cannot_answer(models[0])
    with pytest.raises(Exception, match="variables"):
        run(models[0])
