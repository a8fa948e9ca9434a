"""How durations and sizes are written, for people."""

from __future__ import annotations

from cxr.core.intervals import NONE


def span(seconds: float) -> str:
    """Returns a duration."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"


def memory(size: int | None) -> str:
    """Returns bytes; None: not known."""
    return NONE if size is None else f"{size / 1e9:.1f} GB"
