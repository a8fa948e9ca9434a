"""How moments, durations and sizes are written, for people."""

from __future__ import annotations

from datetime import datetime

from cxr.core.intervals import NONE


def moment(when: datetime) -> str:
    """Returns a moment to the minute, with its distance from UTC."""
    return when.isoformat(sep=" ", timespec="minutes")


def seconds_between(began: datetime, ended: datetime) -> float | None:
    """Returns how long something took; None where the clock was set back meanwhile."""
    seconds = (ended - began).total_seconds()
    return seconds if seconds >= 0 else None


def span(seconds: float) -> str:
    """Returns a duration that was measured."""
    minutes, rest = divmod(round(seconds), 60)
    hours, left = divmod(minutes, 60)
    if hours:
        return f"{hours} h {left:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"


def about(seconds: float) -> str:
    """Returns a duration that was estimated, in the unit that is easiest to read."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def size(count: int) -> str:
    """Returns bytes of files."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def memory(size: int | None) -> str:
    """Returns bytes; None: not known."""
    return NONE if size is None else f"{size / 1e9:.1f} GB"
