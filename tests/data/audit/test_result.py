import json

import pytest

from cxr.core.errors import CxrError
from cxr.core.intervals import Figure
from cxr.data.audit.result import AUDIT, AuditFigures, AuditResult, ShortcutResult

HALF = Figure(value=0.5, low=0.4, high=0.6)


@pytest.fixture
def saved(tmp_path):
    """Folder of an audit, and what its audit.json holds."""
    figures = AuditFigures(images=4, patients=4, accuracy=HALF, balanced_accuracy=HALF, auc={"a": HALF})
    found = ShortcutResult(
        name="size", phrase="its size", kind="shortcut", columns=1, values=2, folds=figures, gate=None, clear_classes=(), verdict="v"
    )
    result = AuditResult(class_names=("a", "b"), split="test", images={"test": 4}, patients=4, folds=2, clear_auc=0.8, shortcuts=(found,))
    result.save(tmp_path, {})
    assert AuditResult.load(tmp_path) == result
    return tmp_path, json.loads((tmp_path / AUDIT).read_text())


@pytest.mark.parametrize("number", [1.5, -0.1, float("nan"), float("inf")])
@pytest.mark.parametrize(
    "place", [("accuracy", "value"), ("balanced_accuracy", "low"), ("auc", "a", "high")], ids=lambda place: ".".join(place)
)
def test_a_figure_that_is_no_share_is_named(saved, place, number):
    folder, audit = saved
    inner = audit["shortcuts"][0]["folds"]
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = number
    (folder / AUDIT).write_text(json.dumps(audit))
    said = (
        rf"audit.json: cannot be read \(shortcuts.0.folds.{'.'.join(place[:-1])}: must be from 0 to 1, as shares are\); run the audit again"
    )
    with pytest.raises(CxrError, match=said):
        AuditResult.load(folder)


def test_a_limit_that_is_no_share_is_named(saved):
    folder, audit = saved
    (folder / AUDIT).write_text(json.dumps(audit | {"clear_auc": 8}))
    with pytest.raises(CxrError, match="clear_auc"):
        AuditResult.load(folder)
