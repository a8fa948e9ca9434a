"""The confounding audit: a small model on each shortcut, by patient, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from cxr.core import progress
from cxr.core.features import TRAIN
from cxr.core.intervals import Figure
from cxr.core.measurement import Measurement
from cxr.core.resampling import patient_numbers
from cxr.data.audit.audit_config import Audit, halfway
from cxr.data.audit.classifier import Labels, Probabilities, fit_and_predict, folds_by_patient, out_of_fold
from cxr.data.audit.records import Tables, some_patients
from cxr.data.audit.result import AuditFigures, AuditResult, ShortcutResult
from cxr.data.audit.seen import Seen
from cxr.data.audit.tables import MEASURED, SHORTCUTS, Joint, Shortcut

ALPHA = 0.05  # intervals are 95 %
Draws = npt.NDArray[np.float32]


def run_audit(data: Tables, class_names: Sequence[str], config: Audit, split: str) -> tuple[AuditResult, dict[str, Draws]]:
    """Tries to tell the class from each shortcut.

    In k folds by patient over all images, and as a pipeline's models are judged: learnt from the training split, measured on the gate's.

    Args:
      data: All images; shortcuts that have no table in it are left out.
      class_names: In the order of the labels.
      config: Folds, seed, bounds.
      split: The gate's.

    Returns:
      The result, and for each shortcut its balanced accuracy on the gate's split in each draw of patients: the same draws as an
      Evaluator's of the same images (core/resampling.py), so that differences are paired.
    """
    rng = np.random.default_rng(config.seed)
    everybody = some_patients(np.arange(len(data)), data.patients, config.max_images, rng, data.labels)
    training = some_patients(np.flatnonzero(data.splits == TRAIN), data.patients, config.max_images, rng, data.labels)
    judged = np.flatnonzero(data.splits == split)
    parts = folds_by_patient(data.labels[everybody], data.patients[everybody], config.folds, config.seed)
    found: list[ShortcutResult] = []
    draws: dict[str, Draws] = {}
    shortcuts = [shortcut for shortcut in SHORTCUTS if data.tables.keys() >= set(shortcut.tables)]
    questions = len(shortcuts) * len(class_names)
    for number, shortcut in enumerate(shortcuts):
        progress.report(f"audit: {shortcut.phrase}", number, len(shortcuts))
        seen, classes = _seen(shortcut, data), len(class_names)
        folds = gate = None
        if parts:
            told = out_of_fold(seen[everybody], data.labels[everybody], parts, classes, seed=config.seed, mirrored=shortcut.mirrored)
            folds, _ = figures_of(told, data.labels[everybody], data.patients[everybody], class_names)
        if len(training) and len(judged):
            told = fit_and_predict(
                seen[training], data.labels[training], seen[judged], classes, seed=config.seed, mirrored=shortcut.mirrored
            )
            gate, draws[shortcut.name] = figures_of(told, data.labels[judged], data.patients[judged], class_names)
        found.append(_result(shortcut, seen, folds, gate, config, questions))
    return (
        AuditResult(
            class_names=tuple(class_names),
            split=split,
            images={str(name): int(np.sum(data.splits == name)) for name in dict.fromkeys(data.splits)},
            patients=len(set(data.patients)),
            folds=len(parts),
            clear_auc=config.clear_auc,
            shortcuts=tuple(found),
        ),
        draws,
    )


def figures_of(told: Probabilities, labels: Labels, patients: npt.NDArray[Any], class_names: Sequence[str]) -> tuple[AuditFigures, Draws]:
    """Returns the figures of some answers, and their balanced accuracy in each draw of patients.

    Args:
      told: [images, classes].
      labels: [images].
      patients: [images] pseudonyms, bytes.
      class_names: By index.
    """
    found = Measurement(patient_numbers(patients)[0], labels, told, bins=1)
    measured = AuditFigures(
        images=found.images,
        patients=found.patients,
        accuracy=found.figure("accuracy"),
        balanced_accuracy=found.figure("balanced_accuracy"),
        auc=found.of_classes("auc", class_names),
    )
    return measured, found.draws("balanced_accuracy").astype(np.float32)


def _seen(shortcut: Shortcut | Joint, data: Tables) -> Seen:
    """Returns what it sees of all images."""
    words = [name for name in shortcut.tables if MEASURED[name].words]
    numbers = [name for name in shortcut.tables if name not in words]
    return Seen([data.tables[name] for name in numbers], [np.asarray(data.tables[name], object) for name in words])


def _result(
    shortcut: Shortcut | Joint, seen: Seen, folds: AuditFigures | None, gate: AuditFigures | None, config: Audit, questions: int
) -> ShortcutResult:
    values = seen.different()
    clear, hinted, verdict = _verdict(shortcut, values, folds or gate, config, questions)
    return ShortcutResult(
        name=shortcut.name,
        phrase=shortcut.phrase,
        kind="reference" if shortcut.reference else "shortcut",
        columns=seen.columns,
        values=values,
        folds=folds,
        gate=gate,
        clear_classes=clear,
        hinted_classes=hinted,
        verdict=verdict,
    )


def _verdict(
    shortcut: Shortcut | Joint, values: int, found: AuditFigures | None, config: Audit, questions: int
) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """Returns the classes that are told clearly, the surest first; where there is none, the one that is told surely; and a sentence.

    Args:
      shortcut: What was seen.
      values: Different rows.
      found: How well the class was told; None: not measured.
      config: When a class is told clearly.
      questions: How many AUCs the whole audit looks at.
    """
    if values == 1:
        return (), (), f"{shortcut.phrase}: the same for all images"
    if found is None:
        return (), (), f"{shortcut.phrase}: not measured (too few patients, or no training split and no split of the gate)"
    aucs: Mapping[str, Figure] = {name: figure for name, figure in found.auc.items() if figure.value is not None}
    if not aucs:
        return (), (), f"{shortcut.phrase}: not measured (all images have the same class)"
    clear = {name: figure for name, figure in aucs.items() if _clearly(figure, config.clear_auc)}
    sure = {name: figure for name, figure in aucs.items() if _above_chance(figure, questions)}
    candidates = clear or sure
    if not candidates:
        none = f"no AUC is significantly above 0.5 (Bonferroni correction for {questions} AUCs)"
        return (), (), f"no class can be predicted from {shortcut.phrase} alone: {none}"
    surest = sorted(candidates, key=lambda key: (candidates[key].low or 0.0, candidates[key].value or 0.0), reverse=True)
    named = surest if clear else surest[:1]
    told = f"{_listed(named)} can be predicted from {shortcut.phrase} alone"
    aucs_named = _listed([str(candidates[name]) for name in named])
    return (tuple(named), (), f"{told}: AUC {aucs_named}") if clear else ((), tuple(named), f"{told}, but not clearly: AUC {aucs_named}")


def _listed(words: Sequence[str]) -> str:
    """Returns "a", "a and b" or "a, b and c"."""
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


def _above_chance(auc: Figure, questions: int) -> bool:
    """Tells whether an AUC is surely above 0.5 though it is one of many that were looked at.

    Of forty AUCs of noise one has a 95 % interval above 0.5 as a rule. So it is widened by Bonferroni's rule: to 1 - 0.05 / `questions`,
    by the ratio of the normal distribution's quantiles.
    """
    if auc.value is None or auc.low is None:
        return False
    return auc.value - (auc.value - auc.low) * float(norm.isf(ALPHA / 2 / questions) / norm.isf(ALPHA / 2)) > 0.5


def _clearly(auc: Figure, clear_auc: float) -> bool:
    """Tells whether an AUC reaches `clear_auc` surely, or gets half of the way from there to 1 and surely half of the way from 0.5 to it.

    Not by the lower end alone: that of a class of fifteen patients which is told without a mistake is below 0.8. Nor by the value alone:
    of five patients 0.96 is a matter of chance.
    """
    low = auc.low or 0.0
    high, least = halfway(clear_auc)
    return low >= clear_auc or ((auc.value or 0.0) >= high and low >= least)
