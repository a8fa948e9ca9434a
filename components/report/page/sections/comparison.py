"""Comparison: each model beside the pushed version that it was compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cxr.components.report.page.content import Content, Model
from cxr.components.report.page.numbers import NONE, number, with_interval
from cxr.components.report.page.section import Section


def _context(content: Content) -> Mapping[str, Any] | None:
    judged = [model for model in content.models if model.evaluation]
    if not judged:
        return None
    rows = [row for model in judged if (row := _row(model))]
    return {"rows": rows, "alone": [model.name for model in judged if not _row(model)]}


def _row(model: Model) -> tuple[str, ...] | None:
    """Name, version, its accuracy, ours, the difference and what it says; None without a baseline."""
    found = model.evaluation
    if found is None or found.baseline_accuracy is None or found.change is None:
        return None
    change = found.accuracy - found.baseline_accuracy
    if found.change.low > 0:
        meaning = "better than chance explains"
    elif found.change.high < 0:
        meaning = "worse than chance explains"
    else:
        meaning = "no difference that could not be chance"
    return (
        model.name,
        model.verdict.baseline or NONE,
        number(found.baseline_accuracy),
        number(found.accuracy),
        with_interval(change, found.change),
        meaning,
    )


SECTION = Section("comparison", "Comparison", _context)
