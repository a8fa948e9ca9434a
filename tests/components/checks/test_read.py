"""The three verdicts on a candidate; tests/components/report/test_component.py holds both readers to them."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxr.components.checks.read import Checked, read_checks
from cxr.components.infra_check.reasons import REASONS
from cxr.components.metrics.evaluation import Validation
from cxr.components.metrics.verdicts import Judgement
from cxr.components.shortcut_check.verdict import ShortcutVerdict
from cxr.core.errors import CxrError
from cxr.core.refusal import Check, Refusal


@pytest.fixture
def evaluation(monkeypatch: pytest.MonkeyPatch) -> Validation:
    """What the gate says, whatever the artifact."""
    demand = Judgement("accuracy", "accuracy", None, 0.9, 0.75, None, 43, 0, "met")
    found = Validation(False, (Refusal(check=Check.GATE, text="worse", behind_baseline=True),), (demand,))
    monkeypatch.setattr("cxr.components.checks.read.read_validation", lambda uri: found)
    return found


def test_what_a_run_did_not_come_to_is_not_known() -> None:
    assert read_checks(evaluation=None, infra_check=None, shortcut_check=None) == Checked()


def test_demands_and_refusals_of_all_checks(evaluation: Validation, tmp_path: Path) -> None:
    (tmp_path / "infra").mkdir()
    (tmp_path / "infra" / REASONS).write_text("no answer\nanother answer\n")
    shortcuts = ShortcutVerdict(
        model="m", split="test", balanced_accuracy=0.5, margin=0, comparisons=(), masked=(), reasons=("no better than the border",)
    )
    (tmp_path / "shortcuts").mkdir()
    shortcuts.save(tmp_path / "shortcuts")
    found = read_checks(evaluation="gate", infra_check=str(tmp_path / "infra"), shortcut_check=str(tmp_path / "shortcuts"))
    assert (found.blessed, found.servable, found.shortcuts, found.demands) == (False, False, shortcuts, evaluation.demands)
    assert [str(refusal) for refusal in found.refusals] == [
        "gate: worse",
        "infrastructure check: no answer",
        "infrastructure check: another answer",
        "shortcut check: no better than the border",
    ]


def test_a_check_that_lost_its_reasons_is_damaged(tmp_path: Path) -> None:
    with pytest.raises(CxrError, match="reasons.txt: cannot be read .No such file or directory.; run again"):
        read_checks(evaluation=None, infra_check=str(tmp_path), shortcut_check=None)


def test_a_model_that_answers_rightly_is_servable(tmp_path: Path) -> None:
    (tmp_path / REASONS).touch()
    assert read_checks(evaluation=None, infra_check=str(tmp_path), shortcut_check=None) == Checked(servable=True)
