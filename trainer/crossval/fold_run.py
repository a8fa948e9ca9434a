"""One fold: every member, their ensemble and logistic regressions learn from its training part and answer its test part.

What a run of the pipeline does with its training and validation splits is done here with the training part: a sixth of it stops the
training early, calibrates each member before they are joined and the ensemble afterwards, and chooses among the methods of the ensemble,
whose weights are fitted to what `trainer/ensemble/fitting_data.py` says.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from cxr.core import features, fingerprints
from cxr.core.features import TEST, VAL
from cxr.core.folds import Fold
from cxr.core.stored_rows import Array
from cxr.trainer.cached_features import cached
from cxr.trainer.calibration.settling import calibrate
from cxr.trainer.crossval.logistic import logistic_answers
from cxr.trainer.crossval.members import Member
from cxr.trainer.crossval.subject import Part, Subject, part_of
from cxr.trainer.ensemble.fitting_data import choose_data
from cxr.trainer.ensemble.joining import Votes, join

LOGISTIC = "logistic regression, {model}"


@dataclass(frozen=True)
class FoldAnswers:
    """What became of one fold.

    Attributes:
      probabilities: Name of a member, "ensemble" or `LOGISTIC` to float32 [images of the test part, classes]; 0 for a class that was not
        learnt. Calibrated, but for those of `LOGISTIC`.
      temperatures: Name of a member or "ensemble" to what calibrated its answers, see trainer/calibration/temperature.py.
      about: How the ensemble was joined, for JSON; {} without one.
    """

    probabilities: dict[str, Array]
    temperatures: dict[str, float]
    about: dict[str, Any]


def run_fold(
    subject: Subject,
    fold: Fold,
    groups: npt.NDArray[np.str_],
    seed: int,
    folder: Path,
    on_member: Callable[[str], None] = lambda name: None,
) -> FoldAnswers:
    """Trains and asks, or reads what an earlier call with the same inputs found.

    Args:
      subject: What is cross-validated.
      fold: Which images; classes that its training part lacks are not learnt.
      groups: [images]; images of one group are kept together in the deals inside the fold too.
      seed: Of these deals.
      folder: Where finished folds, finished members of folds and the states of trainings are kept.
      on_member: Called with the name of a model before it is trained, or read.

    Raises:
      CxrError: See `Member.answers` and `join`.
    """
    names = _names(subject)

    def make() -> list[npt.NDArray[Any]]:
        made = _run(subject, _part(subject, fold, groups, seed), seed, folder, on_member)
        return [np.array(json.dumps([made.temperatures, made.about])), *(made.probabilities[name] for name in names)]

    told, *probabilities = cached(fold_file(subject, fold, groups, seed, folder), make)
    return FoldAnswers(dict(zip(names, probabilities, strict=True)), *json.loads(str(told)))


def to_train(subject: Subject, fold: Fold, groups: npt.NDArray[np.str_], seed: int, folder: Path) -> list[Member]:
    """Returns the models that a fold has yet to train; none where it is finished. The arguments are those of `run_fold`."""
    if fold_file(subject, fold, groups, seed, folder).exists():
        return []
    members = _members(subject, _part(subject, fold, groups, seed), seed)
    return [member for member in members if not member.file(folder).exists()]


def fold_file(subject: Subject, fold: Fold, groups: npt.NDArray[np.str_], seed: int, folder: Path) -> Path:
    """Returns where the answers of a finished fold are kept, named by all that they hang on."""
    settings = [model.model_dump(mode="json") for model in subject.models.values()]
    ensemble = subject.ensemble and subject.ensemble.model_dump(mode="json")
    identity = [*subject.keys.values(), subject.code]
    data = [fold.train, fold.test, subject.labels, subject.sources, groups]
    key = fingerprints.of_parts([list(subject.models), settings, ensemble, *identity, seed, *data])
    return folder / f"{key}.npz"


def _names(subject: Subject) -> list[str]:
    joined = [features.ENSEMBLE] if subject.ensemble else []
    return [*subject.models, *joined, *(LOGISTIC.format(model=name) for name in subject.models)]


def _part(subject: Subject, fold: Fold, groups: npt.NDArray[np.str_], seed: int) -> Part:
    return part_of(subject.labels, fold, groups, seed, halves=subject.halves)


def _members(subject: Subject, part: Part, seed: int) -> list[Member]:
    inner = subject.inner_folds(part, seed)
    return [Member(subject, name, part, inner) for name in subject.models]


def _run(subject: Subject, part: Part, seed: int, folder: Path, on_member: Callable[[str], None]) -> FoldAnswers:
    found: dict[str, dict[str, Array]] = {}
    temperatures: dict[str, float] = {}
    labels = {VAL: part.labels[part.stop]}
    for member in _members(subject, part, seed):
        on_member(member.name)
        # The answers are kept as the network gave them.
        found[member.name], fitted = calibrate(subject.models[member.name], member.answers(folder), labels)
        temperatures[member.name] = fitted.temperature
    answers = {name: own[TEST] for name, own in found.items()}
    about: dict[str, Any] = {}
    if subject.ensemble:
        numbers = np.unique(part.groups, return_inverse=True)[1]
        eye = np.eye(len(part.known), dtype=np.float32)

        def votes(split: str) -> Votes:
            which = part.stop if split == VAL else part.train
            return Votes([own[split] for own in found.values()], eye[part.labels[which]], numbers[which])

        data = choose_data(subject.ensemble, votes, has_validation=True, without=subject.networks)
        joined = join(subject.ensemble, list(subject.models), data.fit, data.choose)
        about = {**joined.report(), "data": data.sources}
        assert data.validation is not None
        asked = np.asarray(joined.layer([keras.ops.convert_to_tensor(answers[name]) for name in subject.models]))
        calibrated, fitted = calibrate(subject.ensemble, {VAL: joined.answer(data.validation), TEST: asked}, labels)
        answers[features.ENSEMBLE], temperatures[features.ENSEMBLE] = calibrated[TEST], fitted.temperature
    for name in subject.models:
        table = subject.tables[name][0]
        rest = part.rest
        answers[LOGISTIC.format(model=name)] = logistic_answers(table[rest], part.labels[rest], table[part.test])
    return FoldAnswers({name: part.spread(shares, subject.classes) for name, shares in answers.items()}, temperatures, about)
