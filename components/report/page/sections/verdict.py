"""Verdict: the table that ends a run, why a model was refused, and what to do next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from cxr.components.metrics.verdicts import Judgement
from cxr.components.report.page.content import Content, Model
from cxr.components.report.page.next_steps import next_steps
from cxr.components.report.page.numbers import NONE, number, with_interval
from cxr.components.report.page.section import Section
from cxr.core.counts import how_many


def _context(content: Content) -> Mapping[str, Any]:
    return {
        "rows": [_row(model) for model in content.models],
        "has_outcomes": any(model.verdict.outcome for model in content.models),
        "reasons": [(model.name, reason) for model in content.models for reason in model.verdict.reasons],
        "notes": [(model.name, note) for model in content.models for note in model.verdict.notes],
        "demands": [_demand(model, demand) for model in content.models for demand in model.verdict.demands],
        "kept": _kept(content),
        "failed": [(step.node, *_parted(step.error)) for step in content.failed],
        "skipped": [step.node for step in content.steps if step.state == "skipped"],
        "next_steps": next_steps(content),
    }


def _parted(error: str) -> tuple[str, str]:
    """Returns the first line of a message and the others: a library's can fill screens."""
    first, _, rest = error.partition("\n")
    return first, rest


def _row(model: Model) -> tuple[str, str, str, tuple[str, str], tuple[str, str], tuple[str, str]]:
    """Name, accuracy, balanced accuracy; text and kind (good, bad, none) of gate, server check and outcome."""
    evaluation, verdict = model.evaluation, model.verdict
    outcome = verdict.outcome or ""
    text = f"pushed as version {verdict.version}" if outcome == "pushed" else {"refused": "not pushed"}.get(outcome, outcome or NONE)
    return (
        model.name,
        with_interval(evaluation.accuracy, evaluation.accuracy_interval) if evaluation else NONE,
        with_interval(evaluation.balanced_accuracy, evaluation.balanced_accuracy_interval) if evaluation else NONE,
        _answer(verdict.blessed, "blessed"),
        _answer(verdict.servable, "passed"),
        (text, {"pushed": "good", "": "none"}.get(outcome, "bad")),
    )


def _demand(model: Model, demand: Judgement) -> tuple[str, str, str, str, str, tuple[str, str]]:
    """Name, demand, measured, bound, patients; text and kind of what became of it."""
    kind = {"met": "good", "missed": "bad"}.get(demand.verdict, "none")
    return (model.name, demand.subject, number(demand.measured), demand.wanted, str(demand.patients), (demand.verdict, kind))


def _kept(content: Content) -> str:
    """How many demands there were, and what became of them."""
    found = Counter(demand.verdict for model in content.models for demand in model.verdict.demands)
    return f"{how_many(found.total(), 'demand')}: " + ", ".join(f"{count} {verdict}" for verdict, count in sorted(found.items()))


def _answer(value: bool | None, yes: str) -> tuple[str, str]:
    return (NONE, "none") if value is None else (yes, "good") if value else ("refused", "bad")


SECTION = Section("verdict", "Verdict", _context)
