"""The small model that tries to tell the class from a shortcut, and the folds that it is tried in."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder

from cxr.core.folds import deal, learn_all, most_folds
from cxr.data.audit.seen import Seen

TREES = 200
# Inverse penalty of the directions. On 300 real pictures, one class mirrored, 0.01 to 0.1 told as much (AUC 0.90), 0.001 less (0.88).
DIRECTION_C = 0.03
FEW = 2000  # rows: of fewer a tree has learnt sooner than Python has handed it to another thread, which took a sixth more processor time

Labels = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float64]


def fit_and_predict(known: Seen, labels: Labels, asked: Seen, classes: int, *, seed: int, mirrored: bool = False) -> Probabilities:
    """Returns what a random forest that learnt from some rows says of others, [asked, classes].

    The classes weigh alike however many images they have, since balanced accuracy is what is asked for. One kind of model for all
    shortcuts but mirrored ones: it takes numbers of any scale and finds rules such as 'bright, but not very', which a linear one does not.

    Of a row that changes its sign in the mirror a forest learns how large the numbers are too, and so finds one-sided pneumonia (AUC 0.78
    of synthetic patients). Logistic regression without intercept says the opposite of the opposite row: a disease of either lung, as often
    of the one as of the other, tells it nothing, a class that is mirrored does.

    Args:
      known: Of the images that it learns from; a word that none of them has says nothing.
      labels: [images], of `known`.
      asked: Of the others.
      classes: How many.
      seed: Of the forest.
      mirrored: As a Shortcut's.
    """
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float32).fit(known.read_words()) if known.words else None

    def encoded(seen: Seen) -> npt.NDArray[np.float32]:
        return np.hstack([seen.read_numbers(), encoder.transform(seen.read_words())]) if encoder else seen.read_numbers()

    learnt = encoded(known)
    if len(set(labels)) == 1:  # logistic regression refuses that, a forest is sure of it
        return np.tile(np.arange(classes) == labels[0], (len(asked), 1)).astype(np.float64)
    if (learnt == learnt[0]).all():
        # It tells nothing. A forest would answer with the class that happens to be rarest in the held-out fold, or the most frequent one.
        return np.full((len(asked), classes), 1 / classes)
    model: RandomForestClassifier | LogisticRegression
    jobs = 1 if len(learnt) < FEW else -1
    if mirrored:
        model = LogisticRegression(C=DIRECTION_C, fit_intercept=False, class_weight="balanced", max_iter=1000)
    else:
        model = RandomForestClassifier(TREES, min_samples_leaf=2, class_weight="balanced", random_state=seed, n_jobs=jobs)
    model.fit(learnt, labels)
    probabilities = np.zeros((len(asked), classes))
    for part, some in asked.batches():
        probabilities[part, model.classes_] = model.predict_proba(encoded(some))
    return probabilities


def folds_by_patient(labels: Labels, patients: npt.NDArray[Any], folds: int, seed: int) -> list[tuple[Labels, Labels]]:
    """Returns (rest, held out) positions of each fold: all images of a patient in the same one, the classes spread evenly.

    Args:
      labels: [images].
      patients: [images].
      folds: How many are wanted; there are no more than the rarest class has patients.
      seed: Of the shuffle.

    Returns: none where a class has fewer than two patients, or would not be learnt from in one of the folds.
    """
    count = min(folds, most_folds(labels, patients))
    if count < 2:
        return []
    dealt = deal(labels, patients, count, seed)
    return [(fold.train, fold.test) for fold in dealt] if learn_all(labels, dealt) else []


def out_of_fold(
    seen: Seen, labels: Labels, parts: list[tuple[Labels, Labels]], classes: int, *, seed: int, mirrored: bool = False
) -> Probabilities:
    """Returns what is said of each image by a model that has seen none of its patient's, [images, classes]."""
    result = np.zeros((len(labels), classes))
    for rest, held_out in parts:
        result[held_out] = fit_and_predict(seen[rest], labels[rest], seen[held_out], classes, seed=seed, mirrored=mirrored)
    return result
