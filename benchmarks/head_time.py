"""Processor time of training heads as the configuration demo does, on random features.

usage: python benchmarks/head_time.py [--widths 4096 10240 17280]       about 15 seconds

Each width in a process of its own: the first head of a process, and one after it. The default widths are those of the demo's MobileNet,
EfficientNetB7 and DenseNet201, and so are the numbers of images.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

import numpy as np

TRAIN, VAL, CLASSES = 508, 116, 3


def train(width: int) -> None:
    """Trains two heads, and prints the processor seconds and epochs of each."""
    from cxr.core.stored_rows import StoredRows
    from cxr.pipeline.pipeline_config import load
    from cxr.trainer.head_stage import LabelledFeatures, train_head

    rng = np.random.default_rng(0)

    def drawn(count: int) -> LabelledFeatures:
        labels = rng.integers(0, CLASSES, count)
        rows = StoredRows.empty(count, (width,), np.float32)
        rows[:] = rng.normal(size=(count, width)) + np.eye(CLASSES, width)[labels]
        return LabelledFeatures(rows.reshape(1, count), labels, np.full(count, "a"))

    model = load("demo", []).models["densenet201"]
    assert model.head_training is not None
    split = drawn(TRAIN), drawn(VAL)
    for _ in range(2):
        begin = time.process_time()
        history = train_head(model, model.head_training, CLASSES, *split)[1]
        print(f"{time.process_time() - begin:.2f} s of {len(history.rows)} epochs", end="; ")


def main() -> None:
    """Prints a line for each width."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs="+", default=[4_096, 10_240, 17_280])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        train(given.one)
        return
    for width in given.widths:
        told = subprocess.run([sys.executable, __file__, "--one", str(width)], capture_output=True, text=True, check=True).stdout
        print(f"{width:>6,} numbers for each image: {told.rstrip('; ')}")


if __name__ == "__main__":
    main()
