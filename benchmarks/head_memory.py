"""Peak memory of training heads, with their features in a file as trainers have them, and in an array.

usage: python benchmarks/head_memory.py [--counts 1000 100000]       minutes on 2 cores

One head and one for each of three out-of-fold parts, on random features of MobileNet's width (1,024); each in a process of its own.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys

import numpy as np

WIDTH, CLASSES, FOLDS = 1024, 3, 3


def train(count: int, stored: bool) -> None:
    """Trains, and prints the peak of this process in bytes."""
    from cxr.core.folds import deal
    from cxr.core.stored_rows import StoredRows
    from cxr.trainer.head_stage import LabelledFeatures, train_head
    from cxr.trainer.model_config import Model, Stage
    from cxr.trainer.out_of_fold import out_of_fold

    rng, step = np.random.default_rng(0), 1000
    rows = StoredRows.empty(count, (WIDTH,), np.float32) if stored else np.empty((count, WIDTH), np.float32)
    for first in range(0, count, step):
        some = slice(first, min(first + step, count))
        rows[some] = rng.normal(size=(some.stop - first, WIDTH)).astype(np.float32)
    labels, people = np.arange(count) % CLASSES, np.arange(count).astype(np.str_)
    data = LabelledFeatures(rows.reshape(1, count) if isinstance(rows, StoredRows) else rows[np.newaxis], labels, people)
    model, stage = Model(backbone="MobileNet", weights="none"), Stage(epochs=2, batch_size=64)
    train_head(model, stage, CLASSES, data, None)
    out_of_fold(model, stage, CLASSES, data, None, deal(labels, people, FOLDS, 0))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def main() -> None:
    """Prints a line for each count and place of the features."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        train(int(given.one[0]), given.one[1] == "file")
        return
    for count in given.counts:
        for place in ("file", "array"):
            command = [sys.executable, __file__, "--one", str(count), place]
            told = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
            print(f"{count:>9,} images, features in {'a file' if place == 'file' else 'an array'}: {int(told.split()[-1]) / 1e6:6,.0f} MB")


if __name__ == "__main__":
    main()
