"""What an audit says in the end: its table, and the line below it."""

from __future__ import annotations

from rich.table import Table

from cxr.core.counts import how_many
from cxr.core.intervals import NONE
from cxr.data.audit.result import AuditResult


def conclusion(result: AuditResult) -> str:
    """Returns the last line: what the exit code says, and what it does not."""
    if result.clear:
        return f"shortcuts that predict a class clearly: {len(result.clear)} (exit code 3); models can learn them instead of the disease"
    said = "no shortcut predicts a class clearly (exit code 0)"
    if result.hints:
        said += (
            f"; shortcuts that predict one, but not clearly: {len(result.hints)} (a weak trace, "
            "a trace that only some pictures have, or the disease itself where it changes the whole picture); "
            "look for it in pictures of that class"
        )
    else:
        said += ", or better than chance"
    if result.undecided:
        reach = f"intervals of their AUCs reach {result.clear_auc:g}"
        said += f"; undecided: {len(result.undecided)} ({reach}), more patients are needed"
    return said


def table(result: AuditResult, synthetic: bool) -> Table:
    """Returns the table of an audit.

    Args:
      result: What was found.
      synthetic: The images are made up, which the title says.
    """
    images = how_many(sum(result.images.values()), f"{'SYNTHETIC ' if synthetic else ''}image")
    shown = Table(
        title=f"what the class can be predicted from: {images} of {how_many(result.patients, 'patient')} "
        f"(chance: {1 / len(result.class_names):.3f}; in brackets 95 % intervals, by patient)"
    )
    columns = ("shortcut", f"balanced accuracy, {result.folds} folds", "accuracy, folds", f"balanced accuracy, {result.split}")
    for column in (*columns, *(f"AUC {name}, folds" for name in result.class_names)):
        shown.add_column(column, overflow="fold")
    for found in result.shortcuts:
        folds, gate = found.folds, found.gate
        shown.add_row(
            found.name + (" (reference)" if found.kind == "reference" else ""),
            str(folds.balanced_accuracy) if folds else NONE,
            str(folds.accuracy) if folds else NONE,
            str(gate.balanced_accuracy) if gate else NONE,
            *(str(folds.auc[name]) if folds else NONE for name in result.class_names),
            style="yellow" if found in result.clear else None,
        )
    return shown
