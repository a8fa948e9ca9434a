"""Reads what a candidate's three checks say, from their artifacts: for a run's report and for the node that makes the page on Kubeflow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cxr.components.infra_check.reasons import REASONS
from cxr.components.metrics.evaluator_output import read_validation
from cxr.components.metrics.verdicts import Judgement
from cxr.components.shortcut_check.verdict import ShortcutVerdict
from cxr.core.errors import CxrError
from cxr.core.refusal import Check, Refusal


@dataclass(frozen=True)
class Checked:
    """The checks' verdicts; None, or empty, where a run did not come to one.

    Attributes:
      blessed: By the gate.
      servable: By the infrastructure check.
      shortcuts: What the shortcut check found.
      demands: Of the gate.
      refusals: Of all checks, in their order.
    """

    blessed: bool | None = None
    servable: bool | None = None
    shortcuts: ShortcutVerdict | None = None
    demands: tuple[Judgement, ...] = ()
    refusals: tuple[Refusal, ...] = ()


def read_checks(*, evaluation: str | None, infra_check: str | None, shortcut_check: str | None) -> Checked:
    """Reads the verdicts on one candidate.

    Args:
      evaluation: URI of the ModelEvaluation artifact; None: there is none, as for the others.
      infra_check: URI of the infrastructure check's InfraBlessing.
      shortcut_check: URI of the shortcut check's InfraBlessing.

    Raises:
      CxrError: An artifact is damaged.
    """
    gate = read_validation(evaluation) if evaluation else None
    problems = _problems(Path(infra_check)) if infra_check else []
    shortcuts = ShortcutVerdict.load(Path(shortcut_check)) if shortcut_check else None
    return Checked(
        blessed=gate.blessed if gate else None,
        servable=not problems if infra_check else None,  # infra_check.replay.ReplayVerdict.blessed
        shortcuts=shortcuts,
        demands=gate.demands if gate else (),
        refusals=(
            *(gate.refusals if gate else ()),
            *(Refusal(check=Check.INFRASTRUCTURE, text=problem) for problem in problems),
            *(Refusal(check=Check.SHORTCUTS, text=reason) for reason in (shortcuts.reasons if shortcuts else ())),
        ),
    )


def _problems(infra_check: Path) -> list[str]:
    file = infra_check / REASONS
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise CxrError(f"{file}: cannot be read ({error.strerror}); run again: a check whose files are gone is made anew") from None
