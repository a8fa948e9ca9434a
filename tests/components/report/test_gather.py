"""From artifacts as TFX writes them to the page; nothing in it leads to a patient or a file."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2
from tensorflow_model_analysis.proto import config_pb2, validation_result_pb2
from tensorflow_model_analysis.writers.metrics_plots_and_validations_writer import convert_slice_metrics_to_proto

from cxr.components.metrics import names
from cxr.components.metrics.answers import AnswersCombiner, image_number
from cxr.components.metrics.classification import ClassificationCombiner
from cxr.components.report.gather import gather
from cxr.components.report.page.content import Content, Step, Verdict
from cxr.components.report.page.render import render
from cxr.components.report.pictures import SAMPLES
from cxr.components.report.sources import ModelSources, Sources
from cxr.core.errors import CxrError

CLASSES = ("covid19", "pneumonia", "normal")
WRONG = 5  # number of the test image that the model gets wrong; of the third class
SECRETS = ("Jane", "Doe", "study7", "patient0", "patient2", "4711")


def write_split(folder: Path, examples: list[bytes]) -> None:
    folder.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(folder / "data.gz"), "GZIP") as writer:
        for example in examples:
            writer.write(example)


def write_statistics(folder: Path) -> None:
    for split in ("test", "train"):
        dataset = statistics_pb2.DatasetFeatureStatistics(num_examples=6)
        height = dataset.features.add()
        height.path.step.append("height")
        height.num_stats.common_stats.num_non_missing = 6
        height.num_stats.mean = 40
        patient = dataset.features.add()
        patient.path.step.append("patient_id")
        patient.string_stats.rank_histogram.buckets.add(label="patient0", sample_count=2)
        source = dataset.features.add()
        source.path.step.append("source")
        for number in range(14):
            source.string_stats.rank_histogram.buckets.add(label=f"hospital {number:02d}", sample_count=20 - number)
        (folder / f"Split-{split}").mkdir(parents=True)
        file = folder / f"Split-{split}" / "FeatureStats.pb"
        file.write_bytes(statistics_pb2.DatasetFeatureStatisticsList(datasets=[dataset]).SerializeToString())


def write_anomalies(folder: Path) -> None:
    (folder / "Split-train").mkdir(parents=True)
    found = anomalies_pb2.Anomalies()
    found.anomaly_info["view"].short_description = "Unexpected value"
    found.anomaly_info["view"].description = "/data/Jane Doe/study7.dcm was seen"
    (folder / "Split-train" / "SchemaDiff.pb").write_bytes(found.SerializeToString())


def write_evaluation(folder: Path) -> None:
    """Six test images, of which one is taken for the first class."""
    classification = ClassificationCombiner(CLASSES, 5, None, "", "")
    tally = classification.create_accumulator()
    answers = AnswersCombiner(3, None, "", "")
    answered = answers.create_accumulator()
    for number in range(6):
        probabilities = np.eye(3)[0 if number == WRONG else number % 3] * 0.7 + 0.1
        tally.add(number % 3, probabilities, b"patient%d" % (number // 2))
        answered.images.append(image_number(f"{number:064x}"))
        answered.labels.append(number % 3)
        answered.probabilities.extend(probabilities.tolist())
    metrics = classification.extract_output(tally) | answers.extract_output(answered)
    folder.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(folder / "metrics-00000-of-00001.tfrecord")) as writer:
        writer.write(convert_slice_metrics_to_proto(((), metrics), []).SerializeToString())
    metric = {"config": json.dumps({names.CLASS_NAMES: CLASSES})}
    (folder / "eval_config.json").write_text(json.dumps({"evalConfig": {"metricsSpecs": [{"metrics": [metric]}]}}))
    refused = validation_result_pb2.ValidationResult(validation_ok=False)
    failure = refused.metric_validations_per_slice.add().failures.add()
    failure.metric_key.name = "accuracy"
    failure.metric_value.double_value.value = 5 / 6
    failure.metric_threshold.CopyFrom(
        config_pb2.MetricThreshold(value_threshold=config_pb2.GenericValueThreshold(lower_bound={"value": 0.9}))
    )
    with tf.io.TFRecordWriter(str(folder / "validations.tfrecord")) as writer:
        writer.write(refused.SerializeToString())


def write_run(folder: Path) -> None:
    folder.mkdir(parents=True)
    row = {"loss": 0.5, "accuracy": 0.8, "learning_rate": 0.001}
    stage = {"name": "head", "rows": [row], "best_epoch": 1, "stopped_early": False, "resumed_from": 0}
    about = {"backbone": "MobileNet", "weights_note": "weights of /home/Doe/weights/mobilenet.h5", "images": {"train": 12}, "seconds": 4.2}
    (folder / "history.json").write_text(json.dumps({**about, "stages": [stage]}))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory, raw_examples: list[bytes]) -> Sources:
    root = tmp_path_factory.mktemp("artifacts")
    write_split(root / "examples" / "Split-test", raw_examples[:6])
    write_split(root / "examples" / "Split-train", raw_examples)
    write_statistics(root / "statistics")
    write_anomalies(root / "anomalies")
    write_evaluation(root / "evaluation")
    write_run(root / "run")
    verdict = Verdict("refused", reasons=("infrastructure check: /tmp/Doe/model is gone",), notes=("compared with /models/Doe/1",))
    return Sources(
        pipeline="demo",
        class_names=CLASSES,
        split="test",
        models=(
            ModelSources("mobilenet", str(root / "evaluation"), str(root / "run"), verdict, {"weights": "from /home/Doe/w.h5"}),
            ModelSources("ensemble"),
        ),
        examples=str(root / "examples"),
        statistics=str(root / "statistics"),
        anomalies=str(root / "anomalies"),
        configuration="name: demo\ndata: {where: {patient_id: '4711'}}\nschema_file: /home/Doe/schema.pbtxt\n",
        steps=(Step("Trainer-ensemble", "failed", 1.0, "/data/Jane Doe/study7.dcm: not an image"),),
    )


@pytest.fixture(scope="module")
def content(sources: Sources) -> Content:
    return gather(sources)


def test_counts_are_those_of_the_examples(content: Content) -> None:
    assert content.data is not None
    images = content.data.images
    assert {split: sum(n for (s, _, _), n in images.items() if s == split) for split in ("train", "test")} == {"train": 12, "test": 6}
    assert images["train", "normal", "made up"] == 4
    assert content.data.patients == {"train": 6, "test": 3}


def test_samples_do_not_hang_on_the_order_of_the_records(content: Content, sources: Sources, tmp_path: Path, raw_examples: list[bytes]) -> None:
    write_split(tmp_path / "Split-train", raw_examples[::-1])
    again = gather(replace(sources, examples=str(tmp_path), models=()))
    assert content.data is not None
    assert again.data is not None
    assert content.data.samples == again.data.samples
    assert [picture.label for picture in content.data.samples] == [name for name in CLASSES for _ in range(SAMPLES)]
    assert {picture.split for picture in content.data.samples} == {"train"}


def test_the_mistake_comes_with_its_own_picture(content: Content, raw_examples: list[bytes]) -> None:
    assert content.mistakes is not None
    (mistake,) = content.mistakes.shown
    assert (mistake.label, mistake.answers[0].predicted, mistake.source) == ("normal", "covid19", "made up")
    assert mistake.picture is not None
    example = tf.train.Example.FromString(raw_examples[WRONG])
    with Image.open(io.BytesIO(example.features.feature["image"].bytes_list.value[0])) as original:
        expected = np.asarray(original, float)
    with Image.open(io.BytesIO(base64.b64decode(mistake.picture.jpeg))) as shown:
        assert np.abs(np.asarray(shown, float) - expected).mean() < 10  # grey levels; JPEG of noise
        assert not shown.getexif()


def test_statistics_by_feature_then_split(content: Content) -> None:
    assert content.data is not None
    assert [(row.feature, row.split, row.mean) for row in content.data.numbers] == [("height", "train", 40), ("height", "test", 40)]
    assert [(row.feature, row.split) for row in content.data.values] == [("source", "train"), ("source", "test")]
    counts = content.data.values[0].counts
    assert (len(counts), counts["hospital 00"], counts["others"]) == (13, 20, 8 + 7)


def test_gate_training_and_evaluation_are_read(content: Content) -> None:
    mobilenet, ensemble = content.models
    assert mobilenet.verdict.blessed is False
    assert mobilenet.verdict.reasons[0] == "gate: accuracy 0.833 is below 0.900"
    assert mobilenet.evaluation is not None
    assert mobilenet.evaluation.correct == 5
    assert mobilenet.training is not None
    assert mobilenet.training.facts["backbone"] == "MobileNet"
    assert (ensemble.training, ensemble.evaluation, ensemble.verdict.blessed) == (None, None, None)


def test_no_patient_and_no_path_on_the_page(content: Content, sources: Sources) -> None:
    page = render(content)
    for secret in (*SECRETS, str(Path(sources.examples or "").parent)):
        assert secret not in page, secret
    for shown in ("not an image", "Unexpected value", "hospital 00"):  # what stood beside them is there
        assert shown in page


def test_pictures_can_be_left_out(sources: Sources) -> None:
    without = gather(replace(sources, pictures=False))
    assert without.data is not None
    assert without.mistakes is not None
    assert not without.data.samples
    assert without.mistakes.shown[0].picture is None
    assert without.mistakes.shown[0].source == "made up"
    assert "data:image/jpeg" not in render(without)


def test_a_run_that_broke_before_its_first_node_ended(sources: Sources) -> None:
    bare = gather(Sources("demo", CLASSES, "test", (ModelSources("ensemble"),), steps=sources.steps))
    assert (bare.data, bare.mistakes) == (None, None)
    assert "Trainer-ensemble" in render(bare)


def test_a_damaged_history_says_so(tmp_path: Path) -> None:
    (tmp_path / "history.json").write_text("{}")
    with pytest.raises(CxrError, match="not the history of a training"):
        gather(Sources("demo", CLASSES, "test", (ModelSources("mobilenet", model_run=str(tmp_path)),)))
