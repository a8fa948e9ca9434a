"""The simulation of intervals: that it counts rightly, and that it finds what docs/evaluation.md says of it."""

import itertools
import sys

import intervals
import numpy as np
import pytest

from cxr.core.intervals import Interval


def test_what_is_counted_of_the_rounds():
    """Four rounds of known intervals; the truth is 0.5."""
    before = itertools.cycle([Interval(0.5, 1), Interval(0.75, 1), Interval(0, 0.25), Interval(0.25, 0.5)])
    case = intervals.Case("share 0.5", "10", 0.5, lambda _: (next(before), Interval(0, 1)))
    *shares, width = intervals.rates(case, 4, 0)[0]
    assert shares == [0.5, 0.25, 0.5]
    assert width == pytest.approx((0.5 + 0.25 + 0.25 + 0.25) / 4)
    assert intervals.rates(case, 4, 0)[1] == (1, 0, 0, 1)


@pytest.mark.parametrize(
    "simulate",
    [
        lambda random: intervals.share(random, truth=0.8, correlation=0, patients=2000),
        lambda random: intervals.share(random, truth=0.8, correlation=0.5, patients=2000),
        lambda random: intervals.auc(random, truth=0.8, own=400, others=400, apart=False),
        lambda random: intervals.auc(random, truth=0.8, own=400, others=400, apart=True),
        lambda random: intervals.balanced_accuracy(random, truth=0.8, classes=(500, 500, 500)),
    ],
    ids=["images", "correlated images", "normal scores", "some below all", "balanced accuracy"],
)
def test_what_is_drawn_has_the_truth_that_is_stated(simulate):
    """With this many patients both intervals are narrow, and stand around it."""
    for found in simulate(np.random.default_rng(3)):
        assert found.high - found.low < 0.1
        assert found.low - 0.02 < 0.8 < found.high + 0.02


def test_a_difference_has_the_truth_that_is_stated():
    for found in intervals.loss(np.random.default_rng(3), patients=3000, lost=0.1, gained=0.05):
        assert found.high - found.low < 0.04
        assert found.low - 0.01 < -intervals.MARGIN < found.high + 0.01


@pytest.mark.seconds
def test_few_patients_are_what_the_new_intervals_are_for():
    shares = {case.patients: case for case in intervals.figures() if case.what.startswith("share 0.95, images of a patient")}
    before, now = intervals.rates(shares["31"], 200, 0)
    assert before[0] < 0.9 < 0.95 <= now[0]
    too_bad = {case.patients: case for case in intervals.margins() if case.what.startswith("wrong on 0.05")}
    before, now = intervals.rates(too_bad["20"], 200, 0)
    assert now[2] <= 0.025 < before[2]  # passes the margin


@pytest.mark.seconds
def test_every_case_has_its_row(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["intervals.py", "--rounds", "1"])
    monkeypatch.setenv("COLUMNS", "250")
    intervals.main()
    shown = capsys.readouterr().out
    assert shown.count("->") == 3 * len([*intervals.figures(), *intervals.margins()]) + 1  # and the title
    for heading in ("holds the truth", "lower end above it", "passes"):
        assert heading in shown
