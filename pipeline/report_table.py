"""What a run prints at its end: the table of its models, and the lines that belong to it."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from cxr.core import features
from cxr.core.disclaimer import SYNTHETIC
from cxr.core.intervals import NONE, with_interval
from cxr.pipeline.report import Report
from cxr.pipeline.workspace import PAGE


def table(report: Report) -> Table:
    """The table that ends a run."""
    shown = Table(title=f"pipeline {report.pipeline}" + (f" ({SYNTHETIC})" if report.synthetic else ""))
    for column in ("model", "accuracy (95 % interval)", "balanced (95 % interval)", "gate", "server check", "pushed version"):
        shown.add_column(column, overflow="fold", no_wrap="interval" not in column)  # a narrow terminal breaks figures, not names
    for candidate in report.models.values():
        e = candidate.evaluation
        shown.add_row(
            candidate.name,
            with_interval(e.accuracy, e.accuracy_interval) if e else NONE,
            with_interval(e.balanced_accuracy, e.balanced_accuracy_interval) if e else NONE,
            _verdict(candidate.blessed, "blessed", "refused"),
            _verdict(candidate.servable, "passed", "refused"),
            candidate.version or Text("not pushed" if candidate.outcome == "refused" else "failed", style="red"),
        )
    return shown


def drift_lines(report: Report) -> dict[str, str | None]:
    """Returns what a reader must know of the data beside those of the run before, and the colour of each sentence."""
    found = report.drift
    return {line: "yellow" if line in found.findings else None for line in found.lines} if found else {}


def shortcut_lines(report: Report) -> list[str]:
    """Returns what a reader of the table must know of shortcuts: the audit's findings, and each model beside the best one and masked.

    Those that tell a class clearly have a line each, all that tell less one together.
    """
    lines = [f"audit: {found.verdict}" for found in report.audit.clear] if report.audit else []
    if report.audit and (hints := report.audit.hints):
        phrases = ", ".join(found.phrase for found in hints)
        lines.append(f"audit: a class can be predicted, but not clearly, from {phrases}; {PAGE} has the figures")
    for candidate in report.models.values():
        if verdict := candidate.shortcut_check:
            seen = [comparison.verdict for comparison in verdict.comparisons[:1]] + [answers.verdict for answers in verdict.masked]
            lines += [f"shortcuts: {sentence}" for sentence in seen]
    return lines


def feature_lines(report: Report) -> list[str]:
    """Returns how many features of frozen backbones were there from earlier runs, for the models that were trained."""
    counts = {one.name: one.features_from_cache.values() for one in report.models.values() if one.features_from_cache}
    shares = [f"{name} {sum(found for found, _ in pairs)} of {sum(total for _, total in pairs)}" for name, pairs in counts.items()]
    return [f"features from the cache: {', '.join(shares)}"] if shares else []


def weights_notes(report: Report) -> dict[str, list[str]]:
    """Returns which backbones each remark on weights concerns; the ensemble's repeats those of its members."""
    notes: dict[str, list[str]] = {}
    for candidate in report.models.values():
        if candidate.weights and candidate.name != features.ENSEMBLE:
            notes.setdefault(candidate.weights, []).append(candidate.name)
    return notes


def _verdict(value: bool | None, yes: str, no: str) -> Text:
    return Text(NONE) if value is None else Text(yes, style="green") if value else Text(no, style="red")
