"""Shortcuts: what tells the class and should not, and the models beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cxr.components.report.page.charts.shortcuts import Row, shortcuts_chart
from cxr.components.report.page.content import Content
from cxr.components.report.page.numbers import NONE, number, unbroken
from cxr.components.report.page.section import Section
from cxr.components.shortcut_check.verdict import SEEN, MaskedAnswers
from cxr.core.intervals import Figure
from cxr.data.audit.audit_config import halfway
from cxr.data.audit.result import AuditFigures, AuditResult


def _context(content: Content) -> Mapping[str, Any] | None:
    audit = content.audit
    if audit is None:
        return None
    judged = [model for model in content.models if model.shortcuts]
    rows = [*_models(content), *_shortcuts(audit)]
    rows.sort(key=lambda row: -(row[2].value or 0.0))
    return {
        "split": audit.split,
        "folds": audit.folds,
        "clear": [(found.phrase, ", ".join(found.clear_classes)) for found in audit.clear],
        "hints": [found.verdict for found in audit.hints],
        "rule": _rule(audit.clear_auc),
        "chart": shortcuts_chart("shortcuts", rows, 1 / len(audit.class_names)) if rows else None,
        "table": [(found.phrase, found.kind, _balanced(found.folds), _balanced(found.gate), found.verdict) for found in audit.shortcuts],
        "against": [
            (model.name, found.verdict, unbroken(str(found.difference)), "above" if found.beaten else "not above")
            for model in judged
            if model.shortcuts
            for found in model.shortcuts.comparisons[:1]
        ],
        "margins": sorted({str(model.shortcuts.margin) for model in judged if model.shortcuts and model.shortcuts.margin is not None}),
        "seen": list(SEEN.values()),
        "masked": [_masked(model.name, model.shortcuts.masked) for model in judged if model.shortcuts and model.shortcuts.masked],
    }


def _masked(model: str, found: Sequence[MaskedAnswers]) -> tuple[str, ...]:
    accuracy = {each.blacked_out: unbroken(str(each.accuracy)) for each in found}
    return (model, *(accuracy.get(part, NONE) for part in SEEN), number(found[0].most_frequent), str(found[0].images))


def _models(content: Content) -> list[Row]:
    evaluations = [(model.name, model.evaluation) for model in content.models if model.evaluation]
    return [(name, "model", Figure.of(found.balanced_accuracy, found.balanced_accuracy_interval)) for name, found in evaluations]


def _shortcuts(audit: AuditResult) -> list[Row]:
    measured = [(found.name.replace("_", " "), found.kind, found.gate.balanced_accuracy) for found in audit.shortcuts if found.gate]
    return [row for row in measured if row[2].value is not None]


def _rule(clear_auc: float) -> str:
    """Returns when an AUC is clear, in words; data/audit/audit.py decides."""
    high, least = halfway(clear_auc)
    return f"an AUC with a lower end of {clear_auc:g} or more, or an AUC of {high:g} or more with a lower end of {least:g} or more"


def _balanced(found: AuditFigures | None) -> str:
    return unbroken(str(found.balanced_accuracy)) if found else NONE


SECTION = Section("shortcuts", "Shortcuts", _context)
