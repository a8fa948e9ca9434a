"""One fold: every member, their ensemble and logistic regressions learn from its training part and answer its test part.

What a run of the pipeline does with its training and validation splits is done here with the training part: a sixth of it stops the
training early and chooses among the methods of the ensemble, whose weights are fitted to out-of-fold answers to the rest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from cxr.core import features, progress
from cxr.core.folds import Fold, Indices, deal, most_folds
from cxr.trainer.cached_features import cached
from cxr.trainer.crossval.logistic import logistic_answers
from cxr.trainer.ensemble.joining import Votes, join
from cxr.trainer.head_stage import Array, LabelledFeatures, answers_of, train_head
from cxr.trainer.model_config import Ensemble, Model, Stage
from cxr.trainer.out_of_fold import out_of_fold
from cxr.trainer.training_state import fingerprint

STOPPING_PARTS = 6  # one of so many parts stops the training early: about the share that a validation split has
LOGISTIC = "logistic regression, {model}"


@dataclass(frozen=True)
class Subject:
    """What is cross-validated.

    Attributes:
      models: Name to configuration; their backbones are frozen.
      ensemble: How they are joined; None: they are not.
      classes: How many.
      tables: Name to features, float32 [1 + variants, images, width].
      labels: int64 [images].
      sources: [images].
      identity: What the answers hang on beside these: keys of the features, version of the code.
    """

    models: Mapping[str, Model]
    ensemble: Ensemble | None
    classes: int
    tables: Mapping[str, Array]
    labels: Indices
    sources: npt.NDArray[np.str_]
    identity: tuple[str, ...]


@dataclass(frozen=True)
class FoldAnswers:
    """What became of one fold.

    Attributes:
      probabilities: Name of a member, "ensemble" or `LOGISTIC` to float32 [images of the test part, classes]; 0 for a class that was not
        learnt.
      about: How the ensemble was joined, for JSON; {} without one.
    """

    probabilities: dict[str, Array]
    about: dict[str, Any]


def run_fold(subject: Subject, fold: Fold, groups: npt.NDArray[np.str_], seed: int, folder: Path | None) -> FoldAnswers:
    """Trains and asks, or reads what an earlier call with the same inputs found.

    Args:
      subject: What is cross-validated.
      fold: Which images; classes that its training part lacks are not learnt.
      groups: [images]; images of one group are kept together in the deals inside the fold too.
      seed: Of these deals.
      folder: Where finished folds are kept; None: nowhere.

    Raises:
      CxrError: See `run_stage` and `join`.
    """
    names = _names(subject)
    file = folder / f"{_key(subject, fold, groups, seed)}.npz" if folder else None

    def make() -> list[npt.NDArray[Any]]:
        made = _run(subject, fold, groups, seed)
        return [np.array(json.dumps(made.about)), *(made.probabilities[name] for name in names)]

    about, *probabilities = cached(file, make)
    return FoldAnswers(dict(zip(names, probabilities, strict=True)), json.loads(str(about)))


def _names(subject: Subject) -> list[str]:
    joined = [features.ENSEMBLE] if subject.ensemble else []
    return [*subject.models, *joined, *(LOGISTIC.format(model=name) for name in subject.models)]


def _key(subject: Subject, fold: Fold, groups: npt.NDArray[np.str_], seed: int) -> str:
    settings = [model.model_dump(mode="json") for model in subject.models.values()]
    ensemble = subject.ensemble and subject.ensemble.model_dump(mode="json")
    data = [fold.train, fold.test, subject.labels, subject.sources, groups]
    return fingerprint([list(subject.models), settings, ensemble, *subject.identity, seed, *data])


def _run(subject: Subject, fold: Fold, groups: npt.NDArray[np.str_], seed: int) -> FoldAnswers:
    known = np.unique(subject.labels[fold.train])
    labels = np.searchsorted(known, subject.labels)  # of classes that are not known: never looked at
    rest = fold.train
    parts = min(STOPPING_PARTS, most_folds(labels[rest], groups[rest]))
    first = deal(labels[rest], groups[rest], parts, seed)[0]
    train, stop = rest[first.train], rest[first.test]
    inner = _inner_folds(subject.ensemble, labels[train], groups[train], seed)
    fit: list[Array] = []
    choose: list[Array] = []
    answers: dict[str, Array] = {}
    for name, model in subject.models.items():
        progress.report(name, 0)
        table = LabelledFeatures(subject.tables[name], labels, subject.sources)
        stage = model.head_training or Stage()
        keras.utils.set_random_seed(model.seed)
        head, _ = train_head(model, stage, len(known), table.take(train), table.take(stop))
        answers[name] = answers_of(head, table.features[0, fold.test])
        if subject.ensemble:
            choose.append(answers_of(head, table.features[0, stop]))
            fit.append(out_of_fold(model, stage, len(known), table.take(train), table.take(stop), inner))
        keras.backend.clear_session()
    about: dict[str, Any] = {}
    if subject.ensemble:
        numbers = np.unique(groups, return_inverse=True)[1]
        eye = np.eye(len(known), dtype=np.float32)
        joined = join(
            subject.ensemble,
            list(subject.models),
            Votes(fit, eye[labels[train]], numbers[train]),
            Votes(choose, eye[labels[stop]], numbers[stop]),
        )
        about = joined.report()
        answers[features.ENSEMBLE] = np.asarray(joined.layer([keras.ops.convert_to_tensor(answers[name]) for name in subject.models]))
    for name in subject.models:
        table = subject.tables[name][0]
        answers[LOGISTIC.format(model=name)] = logistic_answers(table[rest], labels[rest], table[fold.test])
    return FoldAnswers({name: _spread(shares, known, subject.classes) for name, shares in answers.items()}, about)


def _inner_folds(ensemble: Ensemble | None, labels: Indices, groups: npt.NDArray[np.str_], seed: int) -> list[Fold]:
    """Those whose answers fit the ensemble's weights."""
    if ensemble is None:
        return []
    return deal(labels, groups, min(ensemble.folds, most_folds(labels, groups)), seed)


def _spread(shares: Array, known: Indices, classes: int) -> Array:
    result = np.zeros([len(shares), classes], np.float32)
    result[:, known] = shares
    return result
