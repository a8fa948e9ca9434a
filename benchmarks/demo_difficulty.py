"""How hard the demo's pictures are: a linear model on pixels beside the pipeline's models and the best shortcut.

On the run's own test split: logistic regression on thumbnails of 32 and 64 pixels, standardised; its penalty is chosen by the validation
split, then it learns from training and validation split together. A test split of some forty patients says little, so the same question
is asked in five folds by patient of all images: logistic regression on pixels (of each size the penalty that is best in these folds, which
flatters it) beside logistic regression on what the frozen backbones make of the same pictures. Balanced accuracies with 95 % intervals, by
a bootstrap over patients; differences are paired.

usage: python benchmarks/demo_difficulty.py workspace/demo

The argument is the workspace of a pipeline that ran. Some ten minutes for 720 images on 2 cores; the workspace's feature cache keeps the
backbones' features.
"""

import argparse
import io
import json
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from cxr.core import features
from cxr.core.folds import deal
from cxr.core.measurement import Measurement
from cxr.core.places import records_in
from cxr.core.resampling import patient_numbers
from cxr.data.audit.records import Pictures, read_pictures
from cxr.pipeline.crossval import feature_cache, read_records
from cxr.pipeline.examples import prepare_data
from cxr.pipeline.pipeline_config import load
from cxr.pipeline.workspace import CONFIG, LATEST, REPORT, Workspace
from cxr.trainer.crossval.features import features_of_all
from cxr.trainer.crossval.logistic import logistic_answers

SIDES = 32, 64
STRENGTHS = 1e-4, 1e-3, 1e-2, 1e-1  # inverse of the L2 penalty
FOLDS, SEED = 5, 0
EVERY = 2**31  # images; all that there are


def thumbnails(encoded: Iterable[bytes], side: int) -> np.ndarray:
    """Returns grey levels, float32 [images, side * side]."""
    decoded = (Image.open(io.BytesIO(picture)) for picture in encoded)
    return np.array([np.asarray(picture.resize((side, side), Image.Resampling.BOX), np.float32).ravel() for picture in decoded])


def fitted(x: np.ndarray, y: np.ndarray, strength: float) -> Pipeline:
    """Returns logistic regression that learnt from pixels."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000)).fit(x, y)


def linear(train: Pictures, val: Pictures, test: Pictures, side: int) -> np.ndarray:
    """Returns what logistic regression on thumbnails says of the test split, [images, classes]."""
    known, chosen_on = thumbnails(train.encoded, side), thumbnails(val.encoded, side)
    scores = [balanced_accuracy_score(val.labels, fitted(known, train.labels, strength).predict(chosen_on)) for strength in STRENGTHS]
    strength = STRENGTHS[int(np.argmax(scores))]
    model = fitted(np.concatenate([known, chosen_on]), np.concatenate([train.labels, val.labels]), strength)
    return np.asarray(model.predict_proba(thumbnails(test.encoded, side)))


def on_test_split(report: dict) -> None:
    """Measures the run's models, its best shortcut and the linear model on its test split, and prints."""
    train, val, test = (
        read_pictures([records_in(f"{report['data']}/{split}")], features.CLASS_NAMES, EVERY, 0) for split in features.SPLITS
    )
    numbers, patients = patient_numbers(test.patients)
    print(f"test split: {len(test.labels)} images of {patients} patients; {len(train.labels)} images to learn from")
    for name, model in report["models"].items():
        found = model["shortcut_check"]
        print(f"{name}: {found['balanced_accuracy']:.3f}; best shortcut: {found['comparisons'][0]['verdict']}")
    for side in SIDES:
        measured = Measurement(numbers, test.labels, linear(train, val, test, side), bins=1)
        print(f"logistic regression on {side}x{side} pixels: {measured.figure('balanced_accuracy')}")


def in_folds(home: Path, report: dict, passing: Path) -> None:
    """Measures logistic regression on pixels and on the backbones' features in folds by patient of all images, and prints."""
    config = load(str(home / "runs" / LATEST / CONFIG))
    workspace = Workspace(home.parent, config.name)
    examples = prepare_data(config, report["data"], workspace, Console(stderr=True))
    records = read_records(config, examples, features.SPLITS, passing / "graphs")
    images = records.images
    numbers, patients = patient_numbers([patient.encode() for patient in images.patients])
    folds = deal(images.labels, images.patients, FOLDS, SEED)
    print(f"{FOLDS} folds: {len(images)} images of {patients} patients")

    def asked(answers: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
        found = np.empty([len(images), len(config.class_names)])
        for fold in folds:
            found[fold.test] = answers(fold.train, fold.test)
        return found

    def measured(answers: np.ndarray) -> Measurement:
        return Measurement(numbers, images.labels, answers, bins=1)

    def from_pixels(table: np.ndarray, strength: float) -> Measurement:
        return measured(asked(lambda train, test: fitted(table[train], images.labels[train], strength).predict_proba(table[test])))

    def from_features(table: np.ndarray) -> np.ndarray:
        return asked(lambda train, test: logistic_answers(table[train], images.labels[train], table[test]))

    pixels = {}
    for side in SIDES:
        table = thumbnails(images.images, side)
        tried = [from_pixels(table, strength) for strength in STRENGTHS]
        pixels[side] = max(tried, key=lambda found: found.figure("balanced_accuracy").value or 0.0)
        print(f"logistic regression on {side}x{side} pixels: {pixels[side].figure('balanced_accuracy')}", flush=True)
    votes, cache = [], feature_cache(config, workspace)
    for name, model in config.models.items():
        table = features_of_all(name, model, images.images, records.transform, cache, passing / "unfinished").features[0]
        votes.append(from_features(table))
        shown(f"logistic regression on {name}'s features", measured(votes[-1]), pixels)
    shown("mean of these answers", measured(np.mean(votes, axis=0)), pixels)


def shown(what: str, found: Measurement, pixels: dict[int, Measurement]) -> None:
    """Prints a figure, and by how much it is above that of the pixels."""
    above = "; ".join(f"above {side}x{side} pixels by {found.above(other, 'balanced_accuracy')}" for side, other in pixels.items())
    print(f"{what}: {found.figure('balanced_accuracy')}; {above}", flush=True)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path)
    options = parser.parse_args()
    report = json.loads((options.home / "runs" / LATEST / REPORT).read_text(encoding="utf-8"))
    on_test_split(report)
    with tempfile.TemporaryDirectory() as passing:
        in_folds(options.home, report, Path(passing))


if __name__ == "__main__":
    main()
