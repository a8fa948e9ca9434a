"""How the page writes numbers."""

from __future__ import annotations

import math

from cxr.core import intervals
from cxr.core.intervals import NONE, Interval


def number(value: float | None, digits: int = 3) -> str:
    """Returns a number with so many digits after the point; a dash for None, NaN and the infinities."""
    return NONE if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    """Returns a share in percent."""
    return NONE if value is None or not math.isfinite(value) else f"{100 * value:.0f} %"


def span(seconds: float) -> str:
    """Returns a duration, for people."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"


def with_interval(value: float, interval: Interval) -> str:
    """Returns "0.912 (0.850 to 0.960)", to be broken before the bracket only; see `intervals.with_interval`."""
    return intervals.with_interval(value, interval).replace(" to ", "\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}")
