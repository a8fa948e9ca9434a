"""Which answers of the members fit an ensemble's weights, and which choose among the methods: never the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cxr.core.errors import CxrError
from cxr.core.features import ENSEMBLE, TRAIN, VAL
from cxr.core.folds import deal, most_folds
from cxr.trainer import predictions
from cxr.trainer.artifact import TRAIN_OOF
from cxr.trainer.ensemble.joining import Votes, align
from cxr.trainer.model_config import Ensemble

FITTED = ("auto", "weighted", "stacking")  # methods that have something to fit


@dataclass(frozen=True)
class FittingData:
    """The members' answers, by what they are for.

    Attributes:
      fit: What weights are fitted to.
      choose: What methods are chosen by, and where the training of stacking stops; None: there is no validation split.
      validation: The whole validation split, for the joint temperature; None: there is none.
      sources: For model.json and people: "weights" and "choice", each with the data it comes from.
    """

    fit: Votes
    choose: Votes | None
    validation: Votes | None
    sources: dict[str, str]


def check_fit(config: Ensemble, without: Sequence[str], patients: int) -> None:
    """Refuses data that leave nothing to fit weights to; before training too, where counts alone are known.

    Args:
      config: Its `method` and `fitted_on`.
      without: Members that have, or will have, no out-of-fold answers.
      patients: Validation patients of the class that has the fewest; 0: there is no validation split.

    Raises:
      CxrError: 'auto' without a validation split, or a method that has something to fit and no answers that a member has not learnt from.
    """
    config.check_validation(ENSEMBLE, has_validation=patients > 0)
    if config.method not in FITTED or config.fitted_on == "training" or not without or patients > 1:
        return
    if not patients:
        raise CxrError(
            f"ensemble.method: {config.method!r} has nothing to be fitted to ({_because(without)}) without a validation split; add one to "
            "the data, choose soft or hard, or set ensemble.fitted_on=training"
        )
    raise CxrError(
        f"ensemble.method: {config.method!r} is to be fitted to one half of the validation patients ({_because(without)}), but a class has "
        "one validation patient only, so that the split cannot be halved; add data, choose ensemble.method=soft or hard, or set "
        "ensemble.fitted_on=training"
    )


def fitting_data(config: Ensemble, members: Mapping[str, str], *, has_validation: bool) -> FittingData:
    """Reads what the members answered.

    Args:
      config: Its `method`, `fitted_on` and `seed`.
      members: Name to URI of the Model artifact.
      has_validation: Whether the members saved answers to a validation split.

    Raises:
      CxrError: The members answered for different images, or there is nothing that the method can honestly be fitted to.
    """

    def votes(split: str) -> Votes:
        return align({name: predictions.load(uri, split) for name, uri in members.items()}, split)

    without = [name for name, uri in members.items() if not predictions.are_saved(uri, TRAIN_OOF)]
    return choose_data(config, votes, has_validation=has_validation, without=without)


def choose_data(config: Ensemble, votes: Callable[[str], Votes], *, has_validation: bool, without: Sequence[str]) -> FittingData:
    """Says which answers do what.

    Args:
      config: Its `method`, `fitted_on` and `seed`.
      votes: Yields the members' answers: to TRAIN, to VAL, or under TRAIN_OOF; only what is used is asked for.
      has_validation: Whether there are answers to a validation split.
      without: Members that have no out-of-fold answers.

    Raises:
      CxrError: There is nothing that the method can honestly be fitted to.
    """
    val = votes(VAL) if has_validation else None
    val = val if val is not None and len(val.labels) else None
    choice = "the validation split" if val else "nothing: there is no validation split"
    if config.method not in FITTED:
        return FittingData(votes(TRAIN), val, val, {"weights": "nothing: the method has none", "choice": choice})
    if config.fitted_on == "training":
        weights = "the members' predictions for the training split, on which they were trained: these flatter"
        return FittingData(votes(TRAIN), val, val, {"weights": weights, "choice": choice})
    if not without:
        weights = "the members' out-of-fold predictions for the training split, by patient"
        return FittingData(votes(TRAIN_OOF), val, val, {"weights": weights, "choice": choice})
    check_fit(config, without, most_folds(val.labels.argmax(axis=1), val.patients) if val else 0)
    assert val is not None
    first = deal(val.labels.argmax(axis=1), val.patients, 2, config.seed)[0]
    fit, choose = val.take(first.train), val.take(first.test)
    half = "of the validation patients"
    return FittingData(fit, choose, val, {"weights": f"one half {half} ({_because(without)})", "choice": f"the other half {half}"})


def _because(without: Sequence[str]) -> str:
    return f"{', '.join(without)}: no out-of-fold predictions, because the backbone is trained too or a class has only one patient"
