"""A run with everything in it, small, and with names that want to break out of the page."""

from __future__ import annotations

import base64
import io
from datetime import UTC, datetime

import numpy as np
import pytest
from evaluations import of_all_classes, of_one_class
from PIL import Image

from cxr.components.answers.image_answers import AnsweredImages
from cxr.components.drift_check.drift_config import Drift
from cxr.components.drift_check.result import Distance, DriftResult
from cxr.components.metrics.evaluation import ClassResult, Evaluation, SliceResult
from cxr.components.metrics.tally import Tally
from cxr.components.metrics.verdicts import Judgement
from cxr.components.report.page.content import (
    Answer,
    Artifact,
    Before,
    Content,
    Data,
    Mistake,
    Mistakes,
    Model,
    ModelBefore,
    NumberStatistics,
    Picture,
    Stage,
    Step,
    Training,
    ValueCounts,
    Verdict,
)
from cxr.components.shortcut_check.verdict import Comparison, MaskedAnswers, ShortcutVerdict
from cxr.core.curve_bands import GRID, Band, Curve
from cxr.core.figure_table import OF_ONE_CLASS
from cxr.core.intervals import Figure, Interval
from cxr.core.refusal import Check, Refusal
from cxr.data.audit.result import AuditFigures, AuditResult, ShortcutResult
from cxr.data.ingest.dataset import Dataset
from cxr.data.ingest.ingest_config import Ingest
from cxr.trainer.calibration_info import Calibration, Conformal, OperatingPoint, Outside, Reliability
from cxr.trainer.model_info import ModelInfo

HOSTILE = '"><script>alert(1)</script>'
CLASSES = ("covid19", "$x_{<b>$", HOSTILE)
SOME = Interval(0.25, 0.75)


def jpeg() -> str:
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8), 90, np.uint8)).save(file, "JPEG")
    return base64.b64encode(file.getvalue()).decode()


def dataset() -> Dataset:
    return Dataset(
        source=HOSTILE,
        class_names=CLASSES,
        counts={},
        patients={},
        own_patients=4,
        rejects=1,
        reject_reasons={HOSTILE: 1},
        duplicates=0,
        warnings=(HOSTILE,),
        seed=1,
        synthetic=True,
        config=Ingest(),
        fingerprint="",
        files={},
        versions={},
    )


def evaluation(baseline: float | None = None) -> Evaluation:
    tally = Tally(3, 5)
    for number, (label, probabilities) in enumerate(
        [(0, [0.8, 0.1, 0.1]), (0, [0.3, 0.6, 0.1]), (1, [0.2, 0.7, 0.1]), (1, [0.4, 0.3, 0.3])]
    ):
        tally.add(label, np.array(probabilities), b"%d" % number)
    figures = tally.results().figures
    found = [{row.name: getattr(figures, row.name)[0, k] for row in OF_ONE_CLASS} for k in range(len(CLASSES))]
    return Evaluation(
        class_names=CLASSES,
        examples=4,
        patients=4,
        correct=2,
        **of_all_classes(SOME, accuracy=0.5, balanced_accuracy=0.5, log_loss=0.8, calibration_error=0.2)
        | {"calibration_error_interval": Interval(np.nan, np.nan)},
        invalid_predictions=0,
        classes=tuple(
            ClassResult(name=name, examples=n, **of_one_class(SOME, **one)) for name, n, one in zip(CLASSES, [2, 2, 0], found, strict=True)
        ),
        confusion_matrix=((1, 1, 0), (1, 1, 0), (0, 0, 0)),
        calibration_bins=((0.0, np.nan, np.nan), (2.0, 0.5, 0.5), (2.0, 0.75, 0.5)),
        slices=(SliceResult(feature="source", value=HOSTILE, examples=4, patients=3, correct=2, **of_all_classes(SOME, 0.5)),),
        baseline_accuracy=baseline,
        change=None if baseline is None else Interval(-0.125, 0.625),
    )


def roc() -> dict[str, np.ndarray]:
    curve = np.array([[0.1, 1, 1], [0.3, 0.5, 1], [0.4, 0.5, 1], [0.5, 0, 0.5], [0.9, 0, 0]])
    return {CLASSES[0]: curve, CLASSES[1]: curve, CLASSES[2]: np.full((5, 3), np.nan)}


def bands() -> dict[str, dict[Curve, Band]]:
    """Of the first class; the others have too few patients."""
    nothing = np.full(len(GRID), np.nan)
    wide = Band(GRID / 2, (GRID + 1) / 2)
    return {CLASSES[0]: {"roc": wide, "precision_recall": wide}, CLASSES[1]: {}, CLASSES[2]: {"roc": Band(nothing, nothing)}}


def training() -> Training:
    rows = tuple({"loss": 1 / n, "val_loss": 1.1 / n, "accuracy": n / 5, "val_accuracy": n / 6, "learning_rate": 0.001} for n in (1, 2, 3))
    stages = (Stage("head", rows, 2, True, 0), Stage("fine-tuning", rows[:2], None, False, 0))
    return Training(stages, {"weights": "random weights"}, random_weights=True)


def answers() -> AnsweredImages:
    probabilities = np.array([[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.2, 0.7, 0.1], [0.4, 0.3, 0.3]], np.float32)
    return AnsweredImages(np.arange(4), np.array([0, 0, 1, 1]), probabilities)


FIGURE = Figure(value=0.5, low=0.25, high=0.75)


def audit() -> AuditResult:
    measured = AuditFigures(images=4, patients=4, accuracy=FIGURE, balanced_accuracy=FIGURE, auc={CLASSES[0]: FIGURE})
    found = {"columns": 1, "values": 3, "kind": "shortcut", "verdict": f"it tells {HOSTILE}"}
    shortcuts = (
        ShortcutResult(name="source", phrase=f"the source {HOSTILE}", folds=measured, gate=measured, clear_classes=(HOSTILE,), **found),
        ShortcutResult(
            name="grey_histogram",
            phrase="the grey histogram",
            folds=None,
            gate=None,
            clear_classes=(),
            hinted_classes=(HOSTILE,),
            **(found | {"verdict": f"but not clearly: {HOSTILE}"}),
        ),
        ShortcutResult(
            name="whole_picture", phrase="the picture", folds=None, gate=measured, clear_classes=(), **(found | {"kind": "reference"})
        ),
    )
    return AuditResult(class_names=CLASSES, split="test", images={"test": 4}, patients=4, folds=2, clear_auc=0.8, shortcuts=shortcuts)


def drift() -> DriftResult:
    moved = {"split": "train", "images": 200, "images_before": 300}
    found = (
        Distance(feature="source", measure="l_infinity", distance=0.75, judged=True, drifted=True, **moved),
        Distance(feature="age", measure="jensen_shannon", distance=0.5, judged=False, drifted=False, **moved),
    )
    return DriftResult(settings=Drift(), compared=True, note=HOSTILE, distances=found)


def shortcut_verdict() -> ShortcutVerdict:
    beside = Comparison(shortcut="source", balanced_accuracy=0.5, difference=FIGURE, beaten=False, verdict=f"no better than {HOSTILE}")
    black = MaskedAnswers(
        blacked_out="centre", images=4, patients=4, accuracy=FIGURE, balanced_accuracy=FIGURE, most_frequent=0.5, verdict="right on half"
    )
    return ShortcutVerdict(
        model="mobilenet", split="test", balanced_accuracy=0.5, margin=0.0, comparisons=(beside,), masked=(black,), reasons=("no better",)
    )


def info() -> ModelInfo:
    reliability = Reliability(calibration_error=0.125, log_loss=0.875, bins=())
    return ModelInfo(
        name="mobilenet",
        class_names=CLASSES,
        image_size=32,
        network_size=64,
        calibration=Calibration(temperature=1.625, split="val", images=9, before=reliability, after=reliability, note=HOSTILE),
        outside=Outside(share=0.05, flagged=0.04, split="val", images=9),
        conformal=Conformal(coverage=0.9, least_probability=0.2, split="val", images=9, covered=0.91, mean_size=1.25),
        operating_points={
            HOSTILE: (OperatingPoint(at_least="specificity", demanded=0.9, threshold=0.375, sensitivity=0.7, specificity=0.92),)
        },
    )


@pytest.fixture(scope="session")
def content() -> Content:
    """Everything that a page can show."""
    picture = Picture(jpeg(), CLASSES[0], HOSTILE, "test")
    demands = (
        Judgement("accuracy", "accuracy", None, 0.5, 0.6, None, 4, 0, "missed"),
        Judgement("demands.0.recall.covid19", "recall of covid19", ("source", HOSTILE), np.nan, 0.5, 0.9, 2, 9, "not judged"),
    )
    refusal = Refusal(check=Check.GATE, text=f"accuracy 0.5 is below 0.6 {HOSTILE}")
    refused = Verdict("refused", False, True, refusals=(refusal,), notes=(HOSTILE,), demands=demands)
    models = (
        Model("mobilenet", refused, training(), evaluation(), roc(), answers(), {"weights": HOSTILE}, shortcut_verdict(), info(), bands()),
        Model("ensemble", Verdict("pushed", True, True, "1795601476", "1"), None, evaluation(0.25), roc(), answers()),
        Model("densenet201", Verdict("failed", failures=("Trainer-densenet201 failed: no memory",))),
    )
    wrong = Mistake(
        CLASSES[0], HOSTILE, picture, (Answer("ensemble", (0.3, 0.6, 0.1), CLASSES[1]), Answer("mobilenet", (0.9, 0.1, 0), CLASSES[0]))
    )
    return Content(
        pipeline="demo",
        class_names=CLASSES,
        split="test",
        synthetic=True,
        pictures=True,
        models=models,
        run="20261125-103209-306",
        began=datetime(2026, 11, 25, 9, 32, tzinfo=UTC),
        made=datetime(2026, 11, 25, 9, 35, 20, tzinfo=UTC),
        data=Data(
            {("train", CLASSES[0], HOSTILE): 3, ("test", CLASSES[1], "nih"): 1},
            {"train": 2, "test": 1},
            3,
            (picture,),
            (NumberStatistics("height", "train", 3, 0, 40, 1, 38, 40, 44), NumberStatistics("age", "train", 0, 3)),
            (ValueCounts("source", "train", {HOSTILE: 3}),),
            (f"split train, feature {HOSTILE}: wrong",),
            dataset(),
            drift(),
        ),
        audit=audit(),
        mistakes=Mistakes("ensemble", 2, (wrong,), 1),
        steps=(
            Step("Trainer-mobilenet", "done", 95.8, peak_memory=2_560_000_000),
            Step("Trainer-densenet201", "failed", 3.0, f"no memory {HOSTILE}"),
            Step("Pusher", "skipped", 0),
        ),
        artifacts=(Artifact("Trainer-mobilenet", "model", "Model", 7, "Trainer-mobilenet/model/12"),),
        configuration=f"name: {HOSTILE}\n",
        before=Before(
            "20261124-080000-000",
            (("gate.tolerance", "0.02", HOSTILE),),
            ("test: 4 and 5 patients",),
            {
                "mobilenet": ModelBefore(FIGURE, {"accuracy": FIGURE, "balanced_accuracy": FIGURE}, ""),
                "ensemble": ModelBefore(FIGURE, {}, f"judged on other images {HOSTILE}"),
            },
        ),
        versions={"python": "3.11"},
    )
