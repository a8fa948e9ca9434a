"""How hard the demo's pictures are: a linear model on pixels beside the pipeline's models and the best shortcut, on the same test split.

The linear model is logistic regression on thumbnails of 32 and 64 pixels, standardised; its penalty is chosen by the validation split, then
it learns from training and validation split together. Balanced accuracies with 95 % intervals, by a bootstrap over patients.

usage: python benchmarks/demo_difficulty.py workspace/demo

The argument is the workspace of a pipeline that ran. Two minutes for 960 images on 2 cores.
"""

import argparse
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from cxr.core import features
from cxr.core.measurement import Measurement
from cxr.core.resampling import patient_numbers
from cxr.data.audit.records import Pictures, read_pictures

SIDES = 32, 64
STRENGTHS = 1e-4, 1e-3, 1e-2, 1e-1  # inverse of the L2 penalty
EVERY = 2**31  # images; all that there are


def linear(train: Pictures, val: Pictures, test: Pictures, side: int) -> np.ndarray:
    """Returns what logistic regression on thumbnails says of the test split, [images, classes]."""

    def table(pictures: Pictures) -> np.ndarray:
        decoded = (Image.open(io.BytesIO(encoded)) for encoded in pictures.encoded)
        return np.array([np.asarray(picture.resize((side, side), Image.Resampling.BOX), np.float32).ravel() for picture in decoded])

    def fitted(x: np.ndarray, y: np.ndarray, strength: float) -> Pipeline:
        return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000)).fit(x, y)

    known, chosen_on = table(train), table(val)
    scores = [balanced_accuracy_score(val.labels, fitted(known, train.labels, strength).predict(chosen_on)) for strength in STRENGTHS]
    strength = STRENGTHS[int(np.argmax(scores))]
    model = fitted(np.concatenate([known, chosen_on]), np.concatenate([train.labels, val.labels]), strength)
    return np.asarray(model.predict_proba(table(test)))


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path)
    report = json.loads((parser.parse_args().home / "runs" / "latest" / "report.json").read_text())
    train, val, test = (
        read_pictures([f"{report['data']}/{split}/*.tfrecord.gz"], features.CLASS_NAMES, EVERY, 0) for split in features.SPLITS
    )
    numbers, patients = patient_numbers(test.patients)
    print(f"test split: {len(test.labels)} images of {patients} patients; {len(train.labels)} images to learn from")
    for name, model in report["models"].items():
        found = model["shortcut_check"]
        print(f"{name}: {found['balanced_accuracy']:.3f}; best shortcut: {found['comparisons'][0]['verdict']}")
    for side in SIDES:
        measured = Measurement(numbers, test.labels, linear(train, val, test, side), bins=1)
        print(f"logistic regression on {side}x{side} pixels: {measured.figure('balanced_accuracy')}")


if __name__ == "__main__":
    main()
