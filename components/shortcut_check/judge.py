"""Compares a model with every shortcut on the same images. Plain NumPy.

By balanced accuracy, and for a class that a shortcut tells clearly by the AUC of that class too: what marks one class of three perfectly
and says nothing of the others has a balanced accuracy of two thirds, which a model that learnt the mark exceeds.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr.components.shortcut_check.verdict import Comparison, MaskedAnswers, ShortcutVerdict
from cxr.core import figure_table
from cxr.core.counts import how_many
from cxr.core.errors import UsageError
from cxr.core.figure_intervals import difference_interval
from cxr.core.figures import ROUNDING
from cxr.core.intervals import Figure, Interval
from cxr.core.support import Support
from cxr.data.audit.result import AuditResult, ShortcutResult, balanced_on_gate

REMEDY = "gate.shortcut_margin=null turns this demand off"


@dataclass(frozen=True)
class Evaluated:
    """What the Evaluator measured of a model on the whole split."""

    balanced_accuracy: float
    draws: npt.NDArray[np.float32]  # the same in each draw of patients
    examples: int
    support: Support
    auc: Sequence[float]  # by class, one against the rest; NaN where all images are of one side


def read_margin(text: str) -> float | None:
    """Returns the margin that a node was given; None: nothing is demanded.

    Args:
      text: JSON, a number or null; on Kubeflow whoever submits a run may state it.

    Raises:
      UsageError: It is neither.
    """
    with contextlib.suppress(ValueError):
        margin = json.loads(text)
        if margin is None or (type(margin) in (int, float) and -1 <= margin < 1):
            return margin
    raise UsageError(f"margin over the shortcuts: {text!r} is neither a number from -1 to below 1 nor null")


def judge(
    model: str,
    evaluated: Evaluated,
    audit: AuditResult,
    draws: Mapping[str, npt.NDArray[np.float32]],
    margin: float | None,
    masked: Sequence[MaskedAnswers] = (),
) -> ShortcutVerdict:
    """Returns the verdict on a model.

    Args:
      model: Its name.
      evaluated: On the gate's split.
      audit: Of the same data.
      draws: Of the audit, by shortcut.
      margin: The model's balanced accuracy must be more than this above every shortcut's, and so must its AUC of a class that a shortcut
        tells clearly; None: nothing is demanded.
      masked: Its answers to masked pictures, which are shown and not judged.
    """
    comparisons = tuple(_compared(model, evaluated, shortcut, draws, margin or 0.0) for shortcut in audit.ranked)
    reasons: list[str] = []
    if margin is not None and not comparisons:
        reasons.append(f"no shortcut could be measured on the split {audit.split}; {REMEDY}")
    elif margin is not None:
        demanded = "the model must be better" + (f" by more than {margin:.3f}" if margin else "")
        if not comparisons[0].beaten:
            others = sum(not comparison.beaten for comparison in comparisons[1:])
            also = f", and {how_many(others, 'other shortcut is', 'other shortcuts are')} not beaten either" if others else ""
            reasons.append(f"{comparisons[0].verdict}{also}: balanced accuracy on {audit.split}; {demanded}; {REMEDY}")
        reasons += [f"{told}: AUC on {audit.split}; {demanded}; {REMEDY}" for told in _told_no_better(model, evaluated, audit, margin)]
    return ShortcutVerdict(
        model=model,
        split=audit.split,
        balanced_accuracy=evaluated.balanced_accuracy,
        margin=margin,
        comparisons=comparisons,
        masked=tuple(masked),
        clear=tuple(found.verdict for found in audit.clear),
        reasons=tuple(reasons),
    )


def _told_no_better(model: str, evaluated: Evaluated, audit: AuditResult, margin: float) -> list[str]:
    """Returns a sentence for each class that the model tells no better than a shortcut which tells it clearly; of several, the best."""
    found: dict[str, tuple[float, str]] = {}
    for shortcut in audit.clear:
        for name in shortcut.clear_classes:
            auc = shortcut.gate.auc.get(name) if shortcut.gate else None
            if auc and auc.value is not None:
                found[name] = max(found.get(name, (0.0, "")), (auc.value, shortcut.phrase))
    return [
        f"{model} ({ours:.3f}) predicts {name} no better than {phrase} alone ({theirs:.3f}), from which the audit predicts it clearly"
        for name, (theirs, phrase) in found.items()
        if not (ours := evaluated.auc[audit.class_names.index(name)]) - theirs > margin + ROUNDING
    ]


def _compared(
    model: str, evaluated: Evaluated, shortcut: ShortcutResult, draws: Mapping[str, npt.NDArray[np.float32]], margin: float
) -> Comparison:
    assert shortcut.gate is not None
    theirs = balanced_on_gate(shortcut) or 0.0
    difference = evaluated.balanced_accuracy - theirs
    interval = Interval(np.nan, np.nan)
    if (shortcut.gate.images, shortcut.gate.patients) == (evaluated.examples, evaluated.support.patients):  # else draws are of others
        interval = difference_interval(
            figure_table.BALANCED_ACCURACY,
            None,
            difference,
            evaluated.draws - draws[shortcut.name],
            evaluated.support,
        )
    beaten = bool(difference > margin + ROUNDING)
    better = "is better than" if beaten else "is not clearly better than"
    relation = better if difference > ROUNDING else "is no better than"  # a negative margin allows for that, and makes it no better
    chance = ", but this may be chance" if beaten and interval.low <= 0 < difference - ROUNDING else ""
    return Comparison(
        shortcut=shortcut.name,
        balanced_accuracy=theirs,
        difference=Figure.of(difference, interval),
        beaten=beaten,
        verdict=f"{model} ({evaluated.balanced_accuracy:.3f}) {relation} {shortcut.phrase} alone ({theirs:.3f}){chance}",
    )
