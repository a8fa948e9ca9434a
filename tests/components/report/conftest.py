"""A run's artifacts as TFX writes them, small, with a patient and paths planted wherever one could stand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2
from tensorflow_model_analysis.proto import config_pb2, validation_result_pb2

from cxr.components.checks.read import read_checks
from cxr.components.drift_check.drift_config import Drift
from cxr.components.drift_check.result import Distance, DriftResult
from cxr.components.explanation.result import HeatMaps, Localisation, Result
from cxr.components.infra_check.reasons import REASONS
from cxr.components.metrics.answers import image_number
from cxr.components.report.page.content import Step, Verdict
from cxr.components.report.sources import ModelSources, Sources
from cxr.components.shortcut_check.verdict import ShortcutVerdict
from cxr.core.intervals import Figure
from cxr.data.audit.result import AuditFigures, AuditResult, ShortcutResult
from cxr.trainer.model_info import write_info

CLASSES = ("covid19", "pneumonia", "normal")
WRONG = 5  # number of the test image that the model gets wrong; of the third class


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


def write_drift(folder: Path) -> None:
    moved = Distance(
        split="train", feature="height", measure="jensen_shannon", distance=0.5, images=200, images_before=300, judged=True, drifted=True
    )
    DriftResult(settings=Drift(), compared=True, distances=(moved,)).save(folder)


def write_validation(folder: Path) -> None:
    """A gate that refused."""
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
    about = {"backbone": "MobileNet", "weights_note": "weights of /srv/Doe/weights/mobilenet.h5", "images": {"train": 12}, "seconds": 4.2}
    (folder / "history.json").write_text(json.dumps({**about, "stages": [stage]}))


def write_shortcuts(audit: Path, verdict: Path) -> None:
    """As Audit and ShortcutCheck write them."""
    figure = Figure(value=0.75, low=0.5, high=0.9)
    measured = AuditFigures(images=6, patients=3, accuracy=figure, balanced_accuracy=figure, auc={})
    shortcut = ShortcutResult(
        name="border",
        phrase="the border",
        kind="shortcut",
        columns=9,
        values=6,
        folds=None,
        gate=measured,
        clear_classes=(),
        verdict="nothing",
    )
    result = AuditResult(class_names=CLASSES, split="test", images={}, patients=3, folds=0, clear_auc=0.8, shortcuts=(shortcut,))
    result.save(audit, {"border": np.zeros(2, np.float32)})
    ShortcutVerdict(
        model="mobilenet", split="test", balanced_accuracy=0.5, margin=0, comparisons=(), masked=(), reasons=("no better than the border",)
    ).save(verdict)


def write_explanation(folder: Path) -> None:
    """The wrong answer's map is hot in its upper left corner; of eight others nothing is known here."""
    share, nothing = Figure(value=0.5, low=0.4, high=0.6), Figure(value=None)
    lesions = Localisation(
        model="mobilenet",
        images=4,
        patients=3,
        empty=1,
        energy=share,
        area=Figure(value=0.125),
        above_area=share,
        elsewhere=nothing,
        above_elsewhere=nothing,
        hits=share,
        verdict="half of the heat",
    )
    result = Result(model="mobilenet", split="test", seed=7, samples=8, explained=9, empty=2, localisation=(lesions,))
    heat = np.zeros((1, 4, 4), np.float32)
    heat[0, 0, 0] = 1
    result.save(folder, HeatMaps(np.array([image_number(f"{WRONG:064x}")]), np.array([0]), heat))


@pytest.fixture(scope="session")
def sources(
    tmp_path_factory: pytest.TempPathFactory, raw_examples: list[bytes], write_metrics: Callable[[Path, list[int]], None]
) -> Sources:
    root = tmp_path_factory.mktemp("artifacts")
    write_split(root / "examples" / "Split-test", raw_examples[:6])
    write_split(root / "examples" / "Split-train", raw_examples)
    write_statistics(root / "statistics")
    write_anomalies(root / "anomalies")
    write_drift(root / "drift")
    # Six test images, of which one is taken for the first class.
    write_metrics(root / "evaluation", [0 if number == WRONG else number % 3 for number in range(6)])
    write_validation(root / "evaluation")
    write_run(root / "run")
    write_shortcuts(root / "audit", root / "shortcut_check")
    write_explanation(root / "explanation")
    about = {"name": "mobilenet", "class_names": CLASSES, "image_size": 32, "weights_note": "from /srv/Doe/w.h5", "code_version": "c0de"}
    write_info(str(root / "model" / "Format-Serving"), about)
    (root / "infra_check").mkdir()
    (root / "infra_check" / REASONS).write_text("/tmp/Doe/model is gone\n")
    checked = read_checks(
        evaluation=str(root / "evaluation"), infra_check=str(root / "infra_check"), shortcut_check=str(root / "shortcut_check")
    )
    verdict = Verdict(
        "refused", checked.blessed, refusals=checked.refusals, notes=("compared with /models/Doe/1",), demands=checked.demands
    )
    return Sources(
        pipeline="demo",
        class_names=CLASSES,
        split="test",
        models=(
            ModelSources(
                "mobilenet",
                evaluation=str(root / "evaluation"),
                model_run=str(root / "run"),
                verdict=verdict,
                model=str(root / "model"),
                shortcut_check=str(root / "shortcut_check"),
            ),
            ModelSources("ensemble"),
        ),
        examples=str(root / "examples"),
        statistics=str(root / "statistics"),
        anomalies=str(root / "anomalies"),
        drift=str(root / "drift"),
        audit=str(root / "audit"),
        explanation=str(root / "explanation"),
        configuration="name: demo\ndata: {where: {patient_id: '4711'}}\nschema_file: /srv/Doe/schema.pbtxt\n",
        steps=(Step("Trainer-ensemble", "failed", 1.0, "/data/Jane Doe/study7.dcm: not an image"),),
    )
