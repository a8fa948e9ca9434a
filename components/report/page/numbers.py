"""How the page writes numbers."""

from __future__ import annotations

import math

from cxr.core import intervals
from cxr.core.intervals import NONE, Figure, Interval


def number(value: float | None, digits: int = 3) -> str:
    """Returns a number with so many digits after the point; a dash for None, NaN and the infinities."""
    return NONE if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    """Returns a share in percent."""
    return NONE if value is None or not math.isfinite(value) else f"{100 * value:.0f} %"


def percent_with_interval(figure: Figure) -> str:
    """Returns "91 % (85 to 96 %)", to be broken before the bracket only; without the bracket where there is no interval."""
    if figure.low is None or figure.high is None:
        return percent(figure.value)
    return unbroken(f"{percent(figure.value)} ({100 * figure.low:.0f} to {percent(figure.high)})")


def with_interval(value: float, interval: Interval) -> str:
    """Returns "0.912 (0.850 to 0.960)", to be broken before the bracket only; see `intervals.with_interval`."""
    return unbroken(intervals.with_interval(value, interval))


def unbroken(text: str) -> str:
    """Returns a figure's text, to be broken before the bracket only."""
    return text.replace(" to ", "\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}").replace(" %", "\N{NO-BREAK SPACE}%")
