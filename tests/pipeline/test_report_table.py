"""The table that ends a run, and the lines below it."""

import pytest
from audits import shortcut

from cxr.data.audit.result import AuditResult, ShortcutResult
from cxr.pipeline.report import Candidate, Outcome, Report
from cxr.pipeline.report_table import shortcut_lines, table


@pytest.mark.parametrize(
    ("outcome", "blessed", "version", "shown"),
    [
        ("pushed", True, "1790000000", ["blessed", "1790000000"]),
        ("refused", False, None, ["refused", "not pushed"]),
        ("failed", None, None, ["–", "failed"]),
    ],
)
def test_the_table_says_what_became_of_a_model(outcome: Outcome, blessed: bool | None, version: str | None, shown: list[str]):
    candidate = Candidate(name="mobilenet", outcome=outcome, blessed=blessed, version=version)
    told = table(Report(pipeline="p", synthetic=False, data="", models={"mobilenet": candidate}, nodes={}))
    cells = {str(column.header): [str(cell) for cell in column.cells] for column in told.columns}
    assert [*cells["gate"], *cells["pushed version"]] == shown


def lines(*shortcuts: ShortcutResult) -> list[str]:
    audit = AuditResult(class_names=("a", "b"), split="test", images={"train": 9}, patients=9, folds=5, clear_auc=0.8, shortcuts=shortcuts)
    return shortcut_lines(Report(pipeline="p", synthetic=False, data="", audit=audit, models={}, nodes={}))


def test_what_tells_a_class_clearly_is_told_whole_and_what_tells_less_by_name():
    """As `cxr audit` does: a run that lists clear shortcuts alone reads as if there were nothing else."""
    found = lines(
        shortcut("source", clear_classes=("a",)),
        shortcut("border", hinted_classes=("b",)),
        shortcut("marks", hinted_classes=("a",)),
        shortcut("size"),
        shortcut("centre", kind="reference", hinted_classes=("a",)),
    )
    assert found == [
        "audit: verdict on source",
        "audit: a class can be predicted, but not clearly, from the border, the marks; report.html has the figures",
    ]
    assert lines(shortcut("size")) == []
