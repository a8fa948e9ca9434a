from __future__ import annotations

from dataclasses import replace

import pytest

from cxr.components.report.page.content import Content
from cxr.components.report.page.next_steps import next_steps


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("gate: accuracy 0.714 is below 0.850", "The gate refused a model"),
        ("gate: accuracy 0.714 is below the baseline's 0.850", "A model fell behind the version that is pushed"),
        ("shortcut check: a (0.700) is no better than the border alone (0.800)", "A model is no better than a shortcut"),
        ("infrastructure check: no answer", "A server could not answer as the trainer did"),
    ],
)
def test_each_kind_of_refusal_has_its_own_step(content: Content, reason: str, said: str) -> None:
    def steps(reasons: tuple[str, ...]) -> tuple[str, ...]:
        model = content.models[0]
        return next_steps(replace(content, models=(replace(model, verdict=replace(model.verdict, reasons=reasons)),)))

    added = set(steps((reason,))) - set(steps(()))
    assert [step[: len(said)] for step in added] == [said]
