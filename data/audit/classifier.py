"""The small model that tries to tell the class from a shortcut, and the folds that it is tried in."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestClassifier
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils import gen_batches

from cxr.core.folds import deal, most_folds
from cxr.core.stored_rows import Rows

TREES = 200
FEW = 2000  # rows: of fewer a tree has learnt sooner than Python has handed it to another thread, which took a sixth more processor time
AT_ONCE = 4096  # rows that are asked about

Labels = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float64]


def fit_and_predict(known: Rows, labels: Labels, asked: Rows, classes: int, *, words: bool, seed: int) -> Probabilities:
    """Returns what a random forest that learnt from some rows says of others, [asked, classes].

    The classes weigh alike however many images they have, since balanced accuracy is what is asked for. One kind of model for all
    shortcuts: it takes numbers of any scale and finds rules such as 'bright, but not very', which a linear model does not.

    Args:
      known: [images, columns].
      labels: [images], of `known`.
      asked: [asked, columns].
      classes: How many.
      words: The columns hold categories; one that `known` lacks says nothing.
      seed: Of the forest.
    """
    known = np.asarray(known)
    if (known == known[0]).all():
        # It tells nothing. A forest would answer with the class that happens to be rarest in the held-out fold, or the most frequent one.
        return np.full((len(asked), classes), 1 / classes)
    if words:
        encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
        known, asked = encoder.fit_transform(known), encoder.transform(np.asarray(asked))
    jobs = 1 if len(known) < FEW else -1
    forest = RandomForestClassifier(TREES, min_samples_leaf=2, class_weight="balanced", random_state=seed, n_jobs=jobs)
    forest.fit(known, labels)
    probabilities = np.zeros((len(asked), classes))
    for part in gen_batches(len(asked), AT_ONCE):
        probabilities[part, forest.classes_] = forest.predict_proba(np.asarray(asked[part]))
    return probabilities


def folds_by_patient(labels: Labels, patients: npt.NDArray[Any], folds: int, seed: int) -> list[tuple[Labels, Labels]]:
    """Returns (rest, held out) positions of each fold: all images of a patient in the same one, the classes spread evenly.

    Args:
      labels: [images].
      patients: [images].
      folds: How many are wanted; there are no more than the rarest class has patients.
      seed: Of the shuffle.

    Returns: none where a class has fewer than two patients.
    """
    count = min(folds, most_folds(labels, patients))
    if count < 2:
        return []
    return [(fold.train, fold.test) for fold in deal(labels, patients, count, seed)]


def out_of_fold(table: Rows, labels: Labels, parts: list[tuple[Labels, Labels]], classes: int, *, words: bool, seed: int) -> Probabilities:
    """Returns what is said of each image by a model that has seen none of its patient's, [images, classes]."""
    result = np.zeros((len(labels), classes))
    for rest, held_out in parts:
        result[held_out] = fit_and_predict(table[rest], labels[rest], table[held_out], classes, words=words, seed=seed)
    return result
