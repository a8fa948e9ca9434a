"""How the page writes numbers."""

from __future__ import annotations

import math

import pytest

from cxr.components.report.page.numbers import percent, percent_with_interval, short
from cxr.core.intervals import Figure


@pytest.mark.parametrize(
    ("share", "written"),
    [
        (0.0, "0 %"),
        (1e-6, "< 0.1 %"),
        (0.0015, "0.1 %"),
        (0.004, "0.4 %"),
        (0.006, "1 %"),
        (0.914, "91 %"),
        (0.994, "99 %"),
        (399 / 400, "99.8 %"),
        (0.9996, "> 99.9 %"),
        (1.0, "100 %"),
        (0.1 + 0.2 + 0.7, "100 %"),  # a hair above one, or below
        (math.nan, "–"),
        (None, "–"),
    ],
)
def test_only_none_and_all_are_written_so(share: float | None, written: str) -> None:
    assert percent(share) == written


def test_limits_of_an_interval_are_no_certainty_either() -> None:
    found = percent_with_interval(Figure(value=399 / 400, low=0.985, high=0.9999))
    assert " ".join(found.split()) == "99.8 % (98 to > 99.9 %)"
    assert found.count(" ") == 1  # to be broken before the bracket only
    assert percent_with_interval(Figure(value=0.002)) == "0.2 %"


@pytest.mark.parametrize(("value", "written"), [(1e-3, "0.001"), (2.5e-7, "2.5e-07"), (0.0, "0"), (math.inf, "–"), (None, "–")])
def test_small_numbers_are_not_rounded_to_nothing(value: float | None, written: str) -> None:
    assert short(value) == written
