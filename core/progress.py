"""How a trainer tells whoever watches what it is doing: log records that carry a `Step`."""

from __future__ import annotations

import logging
from dataclasses import dataclass

LOGGER = "cxr.progress"


@dataclass(frozen=True)
class Step:
    """How far one stretch of work is."""

    done: int
    total: int | None  # None: not known
    node: str = ""  # whose work it is, where several are under way; empty: that which began last


def report(text: str, done: int, total: int | None = None, node: str = "") -> None:
    """Logs a step.

    Args:
      text: What is being done, with the figures worth seeing ("head: loss 0.41, validation accuracy 0.83").
      done: Units of work that are behind us (epochs, images).
      total: All units.
      node: Whose work it is, as `Step` says.
    """
    logging.getLogger(LOGGER).info("%s", text, extra={"cxr": Step(done, total, node)})
