"""How the page writes numbers."""

from __future__ import annotations

import math

from cxr.core import intervals
from cxr.core.intervals import NONE, Figure, Interval


def number(value: float | None, digits: int = 3) -> str:
    """Returns a number with so many digits after the point; a dash for None, NaN and the infinities."""
    return NONE if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def short(value: float | None) -> str:
    """Returns a number of any size with three digits that count; a dash for None, NaN and the infinities."""
    return NONE if value is None or not math.isfinite(value) else f"{value:.3g}"


def percent(value: float | None) -> str:
    """Returns a share in percent; "0 %" and "100 %" of exact ones only."""
    return NONE if value is None or not math.isfinite(value) else f"{_hundredths(value)} %"


def percent_with_interval(figure: Figure) -> str:
    """Returns "91 % (85 to 96 %)", to be broken before the bracket only; without the bracket where there is no interval."""
    if figure.low is None or figure.high is None:
        return percent(figure.value)
    return unbroken(f"{percent(figure.value)} ({_hundredths(figure.low)} to {percent(figure.high)})")


def with_interval(value: float, interval: Interval) -> str:
    """Returns "0.912 (0.850 to 0.960)", to be broken before the bracket only; see `intervals.with_interval`."""
    return unbroken(intervals.with_interval(value, interval))


def unbroken(text: str) -> str:
    """Returns a figure's text, to be broken before the bracket only."""
    for together in (" to ", " %", "< ", "> "):
        text = text.replace(together, together.replace(" ", "\N{NO-BREAK SPACE}"))
    return text


def _hundredths(share: float) -> str:
    """A share without the sign: what is next to none or all keeps a digit after the point, so that it is not taken for these."""
    if math.isclose(share, round(share), abs_tol=1e-9):  # sums of floats
        return f"{100 * round(share)}"
    whole, finer = f"{100 * share:.0f}", f"{100 * share:.1f}"
    if whole not in ("0", "100"):
        return whole
    return {"0.0": "< 0.1", "100.0": "> 99.9"}.get(finer, finer)
