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

_PATH, _GAP = 16, 3  # columns that a path gets, folded, before anything is left out; columns between two of the table's
_LEAST = 4  # columns that a path or the name of a class gets at least, folded
_SHARE = len("100.0%")


def table(results: Sequence[Prediction | Failure], width: int) -> Table:
    """Makes the table of one run.

    Args:
      results: in the order of the rows.
      width: columns of the terminal. What they do not hold is left out, which is said: the members' answers first, then the probabilities.
        Where they do not hold the names of classes these are folded.
    """
    answered = [result for result in results if isinstance(result, Prediction)]
    classes = list(answered[0].probabilities) if answered else []
    members = list(answered[0].members) if answered else []
    noted = [word for result in answered for word in _notes(result).split()]
    note = [max(map(len, noted))] if noted else []
    versions = {result.version for result in answered}
    several = (
        [max(len("version"), *(len(str(version)) for version in versions))] if len(versions) > 1 else []
    )  # one took over in the middle

    def fits(path: int, *words: int) -> bool:
        return path + sum(_GAP + word for word in words) <= width

    named = [max(map(len, classes), default=0), *(max(len(name), _SHARE) for name in classes)]  # label, then a column for each class
    missing = []
    if members and not fits(_PATH, *named, *note, *several, *(max(len(member), *map(len, classes)) for member in members)):
        missing, members = ["the members' answers"], []
    folded = not fits(_LEAST, *named, *note, *several)
    if folded and not fits(_LEAST, _LEAST, *note, *several, *(_SHARE for _ in classes)):
        missing, classes = [*missing, "the probabilities"], []
    made = Table(title=_title(answered), title_justify="left", title_style="dim", box=box.SIMPLE, pad_edge=False)
    made.add_column("image", overflow="fold", min_width=_LEAST if folded else None)
    # The answer: where there is little room the others give way, unless its name alone takes all of it.
    made.add_column("label", overflow="fold", no_wrap=not folded)
    if several:
        made.add_column("version", no_wrap=True)
    if noted:
        made.add_column("note", overflow="fold")
    for name in classes:
        made.add_column(name, justify="right", overflow="fold", no_wrap=not folded, min_width=_SHARE)
    for member in members:
        made.add_column(member, overflow="fold")
    for result in results:
        if isinstance(result, Prediction):
            cells = [Text(one_line(result.path)), Text(result.label, style="dim" if result.outside else "bold")]
            cells += [Text(str(result.version))] if several else []
            cells += [Text(_notes(result), style="yellow")] if noted else []
            cells += [_share(result.probabilities[name], name == result.label) for name in classes]
            cells += [_opinion(result.members.get(member, {}), result.label) for member in members]
            made.add_row(*cells)
        else:
            made.add_row(Text(one_line(result.path)), Text("failed", style="red"))
    if missing:
        made.caption = Text(f"{' and '.join(missing)}: in a wider terminal, or with --json", style="dim", justify="left")
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
