"""What users can do against a server that is slow or full, by the options of the command that they called."""

from __future__ import annotations

from dataclasses import dataclass

_MORE = "give the server more cores or replicas"


@dataclass(frozen=True)
class Remedies:
    """Ends of messages.

    Attributes:
      slow: against an answer that does not come in time.
      full: against a server that has no room for a request.
      large: against a request that is larger than the server takes.
    """

    slow: str
    full: str
    large: str = "lower --batch-size"


PREDICT = Remedies("raise --timeout, or lower --batch-size", f"lower --in-flight, or {_MORE}")
EVALUATE = Remedies("lower --batch-size", f"lower --batch-size, or {_MORE}")
BENCH = Remedies("raise --timeout, or lower --batch-size", f"lower --concurrency, or {_MORE}")
PAGE = Remedies("raise --timeout", _MORE, "send a smaller picture")
ASK = Remedies("its log says what it is busy with; try again later", f"try again later, or {_MORE}", "its limit of a message is too low")
CHANGE = Remedies("raise --wait; its log says what it is busy with", ASK.full, ASK.large)
