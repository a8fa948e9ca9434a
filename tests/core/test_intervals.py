from __future__ import annotations

import itertools
from math import nan

import numpy as np
import pytest

from cxr.core.intervals import Figure, Interval, bootstrap_interval, proportion_interval, share_interval, with_interval
from cxr.core.measurement import Measurement
from cxr.core.resampling import drawn_means
from cxr.core.support import quantile


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
    assert share_interval(0.9, [np.nan] * 100, 20) == proportion_interval(0.9, 20)  # in no draw defined
    assert np.isnan(share_interval(np.nan, [np.nan], 0).low)


def of_patients(right: list[int], images: list[int]) -> Interval:
    """Of patients with so many right answers to so many images."""
    patients = np.repeat(np.arange(len(images)), images)
    values = np.concatenate([np.arange(n) < k for k, n in zip(right, images, strict=True)]).astype(float)
    return share_interval(float(values.mean()), drawn_means(values, patients), len(images), quantile(images))


@pytest.mark.parametrize("right", [10, 15, 18, 19])
def test_a_share_of_patients_with_an_image_each_is_wilsons(right: int) -> None:
    found, expected = of_patients([1] * right + [0] * (20 - right), [1] * 20), proportion_interval(right / 20, 20)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.015)


def test_the_more_answers_are_right_the_higher_are_both_ends() -> None:
    found = [of_patients([1] * right + [0] * (20 - right), [1] * 20) for right in range(21)]
    assert all(fewer.low < more.low and fewer.high <= more.high for fewer, more in itertools.pairwise(found))
    for right, interval in enumerate(found):
        assert 0 <= interval.low <= right / 20 <= interval.high <= 1


@pytest.mark.parametrize("each", [1, 2, 5, 20])
@pytest.mark.parametrize("patients", [15, 100])
def test_a_perfect_result_has_the_best_lower_end(patients: int, each: int) -> None:
    images = [each] * patients
    perfect, almost = of_patients(images, images), of_patients([*images[1:], each - 1], images)  # a single image is wrong
    assert almost.low < perfect.low


def test_a_perfect_auc_has_the_best_lower_end() -> None:
    own, patients = np.arange(115) < 15, np.arange(115)

    def auc(best_of_others: float) -> Interval:
        scores = np.where(own, np.arange(115) + 1.0, 0.0)
        scores[-1] = best_of_others
        found = Measurement(patients, own.astype(int), np.stack([1 - scores / 200, scores / 200], axis=1)).of_classes("auc", ["no", "yes"])
        return Interval(found["yes"].low or 0.0, found["yes"].high or 0.0)

    assert auc(1.5).low < auc(0.0).low == pytest.approx(proportion_interval(1.0, 15).low)


def few(random: np.random.Generator, patients: int) -> np.ndarray:
    return random.choice([1, 1, 2, 3, 5], patients)


def unequal(random: np.random.Generator, patients: int) -> np.ndarray:
    return np.maximum(1, np.exp(random.normal(0.5, 1.2, patients)).astype(np.int64))


@pytest.mark.seconds
@pytest.mark.parametrize(("patients", "sizes"), [(20, few), (31, few), (31, unequal), (100, unequal)])
def test_the_interval_of_a_share_holds_the_truth_as_often_as_it_says(patients: int, sizes) -> None:
    """A percentile bootstrap holds it in 0.90, and is above it in 0.08; so does Wilson's interval with Z where patients are unequal."""
    random, truth, correlation = np.random.default_rng(0), 0.8, 0.5
    found = []
    for _ in range(400):
        images = sizes(random, patients)
        chances = random.beta(truth * (1 / correlation - 1), (1 - truth) * (1 / correlation - 1), patients)
        found.append(of_patients(list(random.binomial(images, chances)), list(images)))
    assert np.mean([interval.low <= truth <= interval.high for interval in found]) > 0.93
    assert np.mean([interval.low > truth for interval in found]) < 0.045


def test_text() -> None:
    assert str(Interval(0.1, 0.25)) == "0.100 to 0.250"
    assert str(Interval(np.nan, np.nan)) == "–"


@pytest.mark.parametrize(
    ("value", "low", "high", "shown"),
    [(0.9, 0.85, 0.96, "0.900 (0.850 to 0.960)"), (0.9, nan, nan, "0.900"), (nan, nan, nan, "–"), (nan, 0.1, 0.2, "–")],
)
def test_values_are_shown_with_their_intervals(value, low, high, shown):
    assert with_interval(value, Interval(low, high)) == str(Figure.of(value, Interval(low, high))) == shown
