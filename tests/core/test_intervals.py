from __future__ import annotations

from math import nan

import numpy as np
import pytest

from cxr.core.intervals import Figure, Interval, bootstrap_interval, proportion_interval, share_interval, with_interval


def test_wilson_example_from_the_literature() -> None:
    # Newcombe, Statistics in Medicine 17, 1998, table I: 81 of 263
    interval = proportion_interval(81 / 263, 263)
    assert (interval.low, interval.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_wilson_is_scipys() -> None:
    from scipy.stats import binomtest

    for right, trials in ((0, 7), (7, 7), (3, 11)):
        limits = binomtest(right, trials).proportion_ci(0.95, method="wilson")
        interval = proportion_interval(right / trials, trials)
        assert (interval.low, interval.high) == pytest.approx((limits.low, limits.high), abs=1e-6)


def test_percentiles_of_what_is_defined() -> None:
    draws = [*np.linspace(0, 1, 1001), *[np.nan] * 500]
    interval = bootstrap_interval(draws, 10)
    assert (interval.low, interval.high) == pytest.approx((0.025, 0.975))
    assert np.isnan(bootstrap_interval([np.nan] * 5 + [1.0] * 5, 10).low)  # no majority
    assert np.isnan(bootstrap_interval([], 10).high)
    assert np.isnan(bootstrap_interval(draws, 9).low)  # few patients


def test_where_draws_cannot_tell_the_number_of_patients_does() -> None:
    assert share_interval(1.0, [1.0] * 100, 20) == proportion_interval(1.0, 20)  # all right: no draw differs
    assert share_interval(0.5, [0.4, 0.5, 0.6], 9) == proportion_interval(0.5, 9)  # few patients
    assert share_interval(0.5, [0.4, 0.5, 0.6], 10) == bootstrap_interval([0.4, 0.5, 0.6], 10)
    assert np.isnan(share_interval(np.nan, [np.nan], 0).low)


def test_text() -> None:
    assert str(Interval(0.1, 0.25)) == "0.100 to 0.250"
    assert str(Interval(np.nan, np.nan)) == "–"


@pytest.mark.parametrize(
    ("value", "low", "high", "shown"),
    [(0.9, 0.85, 0.96, "0.900 (0.850 to 0.960)"), (0.9, nan, nan, "0.900"), (nan, nan, nan, "–"), (nan, 0.1, 0.2, "–")],
)
def test_values_are_shown_with_their_intervals(value, low, high, shown):
    assert with_interval(value, Interval(low, high)) == str(Figure.of(value, Interval(low, high))) == shown
