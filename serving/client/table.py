"""Predictions for people: one row per image, probabilities in percent, what the members of an ensemble say beside them."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from cxr.core.disclaimer import NOT_A_DEVICE
from cxr.serving.client.predictions import Failure, Prediction

OUTSIDE = "outside of what the model knows"


def table(results: Sequence[Prediction | Failure]) -> Table:
    """Makes the table of one run.

    Args:
      results: in the order of the rows.
    """
    answered = [result for result in results if isinstance(result, Prediction)]
    classes = list(answered[0].probabilities) if answered else []
    members = list(answered[0].members) if answered else []
    made = Table(title=_title(answered), title_justify="left", title_style="dim", box=box.SIMPLE, pad_edge=False)
    made.add_column("image", overflow="fold")
    made.add_column("label")
    if flagged := any(result.outside for result in answered):
        made.add_column("note")
    for name in classes:
        made.add_column(name, justify="right")
    for member in members:
        made.add_column(member)
    for result in results:
        if isinstance(result, Prediction):
            cells = [Text(result.path), Text(result.label, style="dim" if result.outside else "bold")]
            cells += [Text(OUTSIDE if result.outside else "", style="yellow")] if flagged else []
            cells += [_share(result.probabilities[name], name == result.label) for name in classes]
            cells += [_opinion(result.members.get(member, {}), result.label) for member in members]
            made.add_row(*cells)
        else:
            made.add_row(Text(result.path), Text("failed", style="red"))
    return made


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
