"""The tables that `cxr compare` shows, and what belongs to them."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from cxr.components.answers.paired import meaning
from cxr.core.disclaimer import SYNTHETIC
from cxr.core.figure_table import row_of
from cxr.core.intervals import NONE
from cxr.core.spans import span
from cxr.pipeline.compare import Comparison, RunFacts
from cxr.pipeline.roles import role_of

_LEAST_SECONDS = 1.0  # of a kind of node that is worth a row


def tables(found: Comparison) -> Iterator[Table]:
    """Yields the figures of every model, the configuration where it differs, and the times."""
    warning = f" ({SYNTHETIC})" if found.synthetic else ""
    figures = Table(title=f"{found.first.run} and {found.second.run}: 95 % intervals by patient{warning}")
    for column in ("model", "figure", "first", "second", "second minus first, same patients", "meaning"):
        figures.add_column(column, overflow="fold", no_wrap=column in ("model", "figure"))
    for name, model in found.models.items():
        for figure in dict.fromkeys([*model.first.figures, *model.second.figures]):
            sides = [str(side.figures[figure]) if figure in side.figures else NONE for side in (model.first, model.second)]
            change = model.differences.get(figure)
            said = meaning(change, lower_is_better=row_of(figure).lower_is_better) if change else ""
            figures.add_row(name, row_of(figure).title, *sides, str(change) if change else NONE, said)
        figures.add_row(name, "verdict", model.first.verdict, model.second.verdict, "", "", end_section=True)
    yield figures

    if found.configuration:
        settings = Table(title="configuration: what differs")
        for column in ("setting", "first", "second"):
            settings.add_column(column, overflow="fold")
        for one in found.configuration:
            settings.add_row(*one.cells)
        yield settings

    times = Table(title="times, summed by kind of node")
    for column in ("nodes", "first", "second"):
        times.add_column(column, justify="left" if column == "nodes" else "right")
    sums = [_by_kind(facts.seconds_by_node) for facts in (found.first, found.second)]
    for kind in dict.fromkeys([*sums[0], *sums[1]]):
        if max(part.get(kind, 0.0) for part in sums) >= _LEAST_SECONDS:
            times.add_row(kind, *(span(part[kind]) if kind in part else NONE for part in sums))
    times.add_row("whole run", *(_whole(side) for side in (found.first, found.second)))
    yield times


def remarks(found: Comparison) -> Iterator[str]:
    """Yields what belongs to them: what cannot be read, where nothing differs, how the data differ, why figures have no difference."""
    for side in (found.first, found.second):
        yield from (f"run {side.run}: {file} cannot be read ({why}): what it says is left out" for file, why in side.not_read.items())
    if found.configuration is None:
        yield "configuration: how it differs is not known"
    elif not found.configuration:
        yield "configuration: nothing differs"
    yield from (f"data: {sentence}" for sentence in found.data)
    if not found.data:
        yield "data: the same"
    reasons: dict[str, list[str]] = {}
    for name, model in found.models.items():
        if model.why_not:
            reasons.setdefault(model.why_not, []).append(name)
    for reason, names in reasons.items():
        yield f"no difference of {', '.join(names)} can be given: {reason}"


def _whole(side: RunFacts) -> str:
    """How long a run took. A sum of nodes is no time to set another one beside without a word."""
    if side.seconds is None:
        return NONE
    return f"{span(side.seconds)} (sum of its nodes)" if side.seconds_summed else span(side.seconds)


def _by_kind(seconds: dict[str, float]) -> dict[str, float]:
    """`Trainer-mobilenet` and `Trainer-ensemble` are nodes of one kind."""
    found: dict[str, float] = {}
    for node, time in seconds.items():
        kind = role_of(node)
        found[kind] = found.get(kind, 0.0) + time
    return found
