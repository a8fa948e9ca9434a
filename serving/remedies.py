"""What users can do against a server that is slow or full, by the options of the command that they called."""

from __future__ import annotations

from dataclasses import dataclass, replace

_MORE = "give the server more cores or replicas"


@dataclass(frozen=True)
class Remedies:
    """Ends of messages.

    Attributes:
      slow: against an answer that does not come in time.
      full: against a server that has no room for a request.
      large: against a request that is larger than the server takes.
      away: against an address where no server answers; empty: start one, by the command that does it for one server.
    """

    slow: str
    full: str
    large: str = "lower --batch-size"
    away: str = ""


PREDICT = Remedies("raise --timeout, or lower --batch-size", f"lower --in-flight, or {_MORE}")
EVALUATE = Remedies("lower --batch-size", f"lower --batch-size, or {_MORE}")
BENCH = Remedies("raise --timeout, or lower --batch-size", f"lower --concurrency, or {_MORE}")
PAGE = Remedies("raise --timeout", _MORE, "send a smaller picture")
ASK = Remedies(
    slow="its log says what it is busy with; try again later",
    full=f"try again later, or {_MORE}",
    large="its limit of a message is too low",
    away="start it, or correct its address",
)
CHANGE = replace(
    ASK,
    slow="raise --wait; its log says what it is busy with",
    away=f"{ASK.away}; one that is left out of --server reads the file when it starts",
)
