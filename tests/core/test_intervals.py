from __future__ import annotations

import numpy as np
import pytest

from cxr.core.intervals import mean_recall_interval, proportion_interval


def test_wilson_example_from_the_literature() -> None:
    # Newcombe, Statistics in Medicine 17, 1998, table I: 81 of 263
    interval = proportion_interval(81, 263)
    assert (interval.low, interval.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_nothing_measured() -> None:
    assert np.isnan([proportion_interval(0, 0).low, mean_recall_interval([0], [0]).high]).all()


def test_one_class_is_wilsons() -> None:
    joined, single = mean_recall_interval([7, 0], [10, 0]), proportion_interval(7, 10)
    assert (joined.low, joined.high) == pytest.approx((single.low, single.high))


def test_perfect_recalls_leave_room_below_only() -> None:
    interval = mean_recall_interval([20, 20, 20], [20, 20, 20])
    assert interval.high == 1.0
    assert proportion_interval(20, 20).low < interval.low < 1.0


def test_covers_the_truth_in_about_95_of_100_experiments() -> None:
    random = np.random.default_rng(0)
    recalls, examples = np.array([0.9, 0.7, 0.8]), np.array([40, 25, 60])
    experiments = 1000
    covered = 0
    for correct in random.binomial(examples, recalls, (experiments, 3)):
        interval = mean_recall_interval(correct.tolist(), examples.tolist())
        covered += interval.low <= recalls.mean() <= interval.high
    assert 0.93 <= covered / experiments <= 0.98
