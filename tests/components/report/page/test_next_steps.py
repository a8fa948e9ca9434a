from __future__ import annotations

from dataclasses import replace

import pytest

from cxr.components.report.page.content import Content, Training
from cxr.components.report.page.next_steps import REFUSED, next_steps
from cxr.core.refusal import Check, Refusal


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (Refusal(check=Check.GATE, text="accuracy 0.714 is below 0.850"), "The gate refused a model"),
        (
            Refusal(check=Check.GATE, text="accuracy 0.714 is below the baseline's 0.850", behind_baseline=True),
            "A model is worse than the pushed version",
        ),
        (
            Refusal(check=Check.SHORTCUTS, text="a (0.700) is no better than the border alone (0.800)"),
            "A model is no better than a shortcut",
        ),
        (Refusal(check=Check.INFRASTRUCTURE, text="no answer"), "A server did not give the predictions of the trained model"),
    ],
)
@pytest.mark.parametrize("text", [None, "said in other words"])
def test_each_kind_of_refusal_has_its_own_step(content: Content, refusal: Refusal, said: str, text: str | None) -> None:
    def steps(refusals: tuple[Refusal, ...]) -> tuple[str, ...]:
        model = content.models[0]
        return next_steps(replace(content, models=(replace(model, verdict=replace(model.verdict, refusals=refusals)),)))

    added = set(steps((refusal.model_copy(update={"text": text or refusal.text}),))) - set(steps(()))
    assert [step[: len(said)] for step in added] == [said]


def test_every_check_has_advice() -> None:
    assert set(REFUSED) == set(Check)


def test_random_weights_are_told_by_no_words(content: Content) -> None:
    def said(random: bool) -> bool:
        model = content.models[0]
        training = Training((), {"weights": "started from chance"}, random_weights=random)
        steps = next_steps(replace(content, models=(replace(model, training=training),)))
        return f"The backbones of {model.name} have random weights" in " ".join(steps)

    assert (said(True), said(False)) == (True, False)
