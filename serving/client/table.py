"""Predictions for people: one row per image, probabilities in percent, what the members of an ensemble say beside them."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from cxr.core import features
from cxr.core.disclaimer import NOT_A_DEVICE
from cxr.core.visible import one_line
from cxr.serving.client.predictions import Failure, Prediction

_PATH, _GAP = 16, 3  # columns that a path gets at least, where it is folded; columns between two of the table's


def table(results: Sequence[Prediction | Failure], width: int) -> Table:
    """Makes the table of one run.

    Args:
      results: in the order of the rows.
      width: columns of the terminal; where they do not hold the members' answers too, those are left out, which is said.
    """
    answered = [result for result in results if isinstance(result, Prediction)]
    classes = list(answered[0].probabilities) if answered else []
    members = list(answered[0].members) if answered else []
    words = [max(map(len, classes), default=0), *(max(len(name), len("100.0%")) for name in classes)]  # label, then a column for each class
    noted = [word for result in answered for word in _notes(result).split()]
    words += [max(map(len, noted))] if noted else []
    words += [max(len(member), *map(len, classes)) for member in members]
    left_out = bool(members) and _PATH + sum(_GAP + word for word in words) > width
    members = [] if left_out else members
    made = Table(title=_title(answered), title_justify="left", title_style="dim", box=box.SIMPLE, pad_edge=False)
    made.add_column("image", overflow="fold")
    made.add_column("label", no_wrap=True)  # the answer: where there is little room the others give way
    if noted:
        made.add_column("note", overflow="fold")
    for name in classes:
        made.add_column(name, justify="right", no_wrap=True)
    for member in members:
        made.add_column(member, overflow="fold")
    for result in results:
        if isinstance(result, Prediction):
            cells = [Text(one_line(result.path)), Text(result.label, style="dim" if result.outside else "bold")]
            cells += [Text(_notes(result), style="yellow")] if noted else []
            cells += [_share(result.probabilities[name], name == result.label) for name in classes]
            cells += [_opinion(result.members.get(member, {}), result.label) for member in members]
            made.add_row(*cells)
        else:
            made.add_row(Text(one_line(result.path)), Text("failed", style="red"))
    if left_out:
        made.caption = Text("the members' answers: in a wider terminal, or with --json", style="dim", justify="left")
    return made


def _notes(prediction: Prediction) -> str:
    return "; ".join([*([features.OUTSIDE_SAID] if prediction.outside else []), *prediction.remarks])


def _title(answered: Sequence[Prediction]) -> str:
    sources = sorted({f"{prediction.model} version {prediction.version}" for prediction in answered})
    return f"{', '.join(sources)}. {NOT_A_DEVICE}" if sources else ""


def _share(share: float, chosen: bool) -> Text:
    return Text(f"{share:.1%}", style="bold" if chosen else "")


def _opinion(shares: dict[str, float], label: str) -> Text:
    if not shares:
        return Text("")
    best = max(shares, key=shares.__getitem__)
    return Text(f"{best} {shares[best]:.0%}", style="" if best == label else "yellow")
