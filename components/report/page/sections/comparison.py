"""Comparison: each model beside the pushed version that it was compared with, and beside the run before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cxr.components.answers.paired import meaning
from cxr.components.report.page.content import Before, Content, Model
from cxr.components.report.page.numbers import NONE, number, unbroken, with_interval
from cxr.components.report.page.section import Section
from cxr.core.figure_table import ACCURACY, BALANCED_ACCURACY
from cxr.core.intervals import Figure


def _context(content: Content) -> Mapping[str, Any] | None:
    judged = [model for model in content.models if model.evaluation]
    if not judged:
        return None
    rows = [row for model in judged if (row := _row(model))]
    return {
        "rows": rows,
        "alone": [model.name for model in judged if not _row(model)],
        "before": content.before,
        "since": [_since(model, content.before) for model in judged] if content.before else [],
        "not_paired": [(name, found.why_not) for name, found in content.before.models.items() if found.why_not] if content.before else [],
    }


def _since(model: Model, before: Before) -> tuple[str, ...]:
    """Name, accuracy in the run before and now, what changed, and what that says."""
    now = model.evaluation
    assert now is not None
    found = before.models.get(model.name)
    then = str(found.accuracy) if found and found.accuracy else NONE
    change = found.differences.get(ACCURACY) if found else None
    return (
        model.name,
        unbroken(then),
        with_interval(now.accuracy, now.accuracy_interval),
        unbroken(str(change)) if change else NONE,
        unbroken(str(found.differences[BALANCED_ACCURACY])) if found and change else NONE,
        meaning(change) if change else "not comparable" if found else "was not in that run",
    )


def _row(model: Model) -> tuple[str, ...] | None:
    """Name, version, its accuracy, ours, the difference and what it says; None without a baseline."""
    found = model.evaluation
    if found is None or found.baseline_accuracy is None or found.change is None:
        return None
    change = Figure.of(found.accuracy - found.baseline_accuracy, found.change)
    return (
        model.name,
        model.verdict.baseline or NONE,
        number(found.baseline_accuracy),
        number(found.accuracy),
        unbroken(str(change)),
        meaning(change),
    )


SECTION = Section("comparison", "Comparison", _context)
