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
import tensorflow as tf
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from cxr.core import features
from cxr.core.measurement import Measurement
from cxr.core.resampling import patient_numbers

SIDES = 32, 64
STRENGTHS = 1e-4, 1e-3, 1e-2, 1e-1  # inverse of the L2 penalty
Rows = tuple[list[Image.Image], np.ndarray, list[bytes]]  # pictures, labels' numbers, patients


def read(folder: Path, split: str) -> Rows:
    """Returns the images of a split."""
    pictures: list[Image.Image] = []
    labels, patients = [], []
    files = sorted(map(str, (folder / split).glob("*.tfrecord.gz")))
    for record in tf.data.TFRecordDataset(files, "GZIP"):
        values = tf.train.Example.FromString(record.numpy()).features.feature
        pictures.append(Image.open(io.BytesIO(values[features.IMAGE].bytes_list.value[0])))
        labels.append(features.CLASS_NAMES.index(values[features.LABEL].bytes_list.value[0].decode()))
        patients.append(values[features.PATIENT_ID].bytes_list.value[0])
    return pictures, np.array(labels), patients


def linear(train: Rows, val: Rows, test: Rows, side: int) -> np.ndarray:
    """Returns what logistic regression on thumbnails says of the test split, [images, classes]."""

    def table(pictures: list[Image.Image]) -> np.ndarray:
        return np.array([np.asarray(picture.resize((side, side), Image.Resampling.BOX), np.float32).ravel() for picture in pictures])

    def fitted(x: np.ndarray, y: np.ndarray, strength: float) -> Pipeline:
        return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000)).fit(x, y)

    known, chosen_on = table(train[0]), table(val[0])
    scores = [balanced_accuracy_score(val[1], fitted(known, train[1], strength).predict(chosen_on)) for strength in STRENGTHS]
    strength = STRENGTHS[int(np.argmax(scores))]
    model = fitted(np.concatenate([known, chosen_on]), np.concatenate([train[1], val[1]]), strength)
    return np.asarray(model.predict_proba(table(test[0])))


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path)
    report = json.loads((parser.parse_args().home / "runs" / "latest" / "report.json").read_text())
    train, val, test = (read(Path(report["data"]), split) for split in ("train", "val", "test"))
    numbers, patients = patient_numbers(test[2])
    print(f"test split: {len(test[1])} images of {patients} patients; {len(train[1])} images to learn from")
    for name, model in report["models"].items():
        found = model["shortcut_check"]
        print(f"{name}: {found['balanced_accuracy']:.3f}; best shortcut: {found['comparisons'][0]['verdict']}")
    for side in SIDES:
        answers = linear(train, val, test, side)
        print(f"logistic regression on {side}x{side} pixels: {Measurement(numbers, test[1], answers, bins=1).figure('balanced_accuracy')}")


if __name__ == "__main__":
    main()
