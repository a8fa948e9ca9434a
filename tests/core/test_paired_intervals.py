from __future__ import annotations

from math import isnan, log, sqrt

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from cxr.core.intervals import Z, proportion_interval
from cxr.core.paired_intervals import paired_interval
from cxr.core.resampling import drawn_means

MARGIN = 0.05


def differences(gains: int, losses: int, patients: int) -> np.ndarray:
    return np.repeat([1.0, -1.0, 0.0], [gains, losses, patients - gains - losses])


def of_patients(values: np.ndarray, images: int = 1) -> tuple[float, float]:
    """Ends for patients with one difference each, in so many images."""
    patients = np.repeat(np.arange(len(values)), images)
    found = paired_interval(float(values.mean()), drawn_means(np.repeat(values, images), patients), len(values))
    return found.low, found.high


@pytest.mark.parametrize("away", [1e-5, 1e-7, 1e-9, 1e-11])
@pytest.mark.parametrize("patients", [10, 43, 2000])
def test_next_to_the_greatest_difference_that_there_is(away: float, patients: int) -> None:
    """One image of ten thousand is not like the others."""
    for sign in (1, -1):
        found = paired_interval(sign * (1 - away), sign * np.linspace(1 - 2 * away, 1, 1000), patients)
        ends = sorted((sign * found.low, sign * found.high))
        assert ends[1] == pytest.approx(1, abs=2e-5)
        assert ends[0] == pytest.approx(1 - 2 * Z**2 / (patients + Z**2), abs=0.01)
        assert -1 <= found.low <= found.high <= 1


def statistic(gains: int, losses: int, patients: int, difference: float) -> float:
    """Tango's, with the likelihood maximised by search: gains happen with a chance of q + difference, losses with one of q."""
    same = patients - gains - losses

    def unlikeliness(q: float) -> float:
        parts = ((gains, q + difference), (losses, q), (same, 1 - 2 * q - difference))
        return -sum(count * log(max(chance, 1e-300)) for count, chance in parts if count)

    low, high = max(0.0, -difference), (1 - difference) / 2
    q = float(minimize_scalar(unlikeliness, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x)
    return (gains - losses - patients * difference) / sqrt(patients * (2 * q + difference * (1 - difference)))


@pytest.mark.parametrize(("gains", "losses", "patients"), [(3, 3, 30), (12, 7, 100), (16, 4, 50), (2, 40, 300)])
def test_the_ends_are_where_tangos_statistic_is_z(gains: int, losses: int, patients: int) -> None:
    low, high = of_patients(differences(gains, losses, patients))
    # the draws' variance is a thousand draws', hence not quite that of the counts
    assert (statistic(gains, losses, patients, low), statistic(gains, losses, patients, high)) == pytest.approx((Z, -Z), rel=0.05)


@pytest.mark.parametrize("patients", [10, 43, 161])
def test_where_nothing_differs_the_patients_say_how_much_might(patients: int) -> None:
    low, high = of_patients(np.zeros(patients))
    assert (low, high) == pytest.approx((-(Z**2) / (patients + Z**2), Z**2 / (patients + Z**2)))
    assert 0 <= high == pytest.approx(proportion_interval(0.0, patients).high)


def test_what_few_patients_prove() -> None:
    assert of_patients(np.zeros(43))[0] < -MARGIN
    assert of_patients(np.zeros(110))[0] > -MARGIN
    assert of_patients(differences(0, 2, 110))[0] < -MARGIN


def test_images_of_the_same_patients_prove_nothing_more() -> None:
    values = differences(3, 5, 60)
    assert of_patients(values, images=7) == pytest.approx(of_patients(values), abs=1e-9)


@pytest.mark.parametrize("value", [1.0, -1.0, 0.1, -0.02, 0.0])
def test_the_interval_holds_what_was_measured(value: float) -> None:
    """Also where the patients' differences are parts of their images, or a single patient has most images."""
    for spread in (0.0, 1e-8, 0.01, 0.3, 2.0):
        found = paired_interval(value, value + spread * np.linspace(-1, 1, 1000), 20)
        assert -1 <= found.low <= value <= found.high <= 1
        assert found.high - found.low > 0.001


def test_without_anybody_there_is_none() -> None:
    assert isnan(paired_interval(0.1, [0.1, 0.2], 0).low)
    assert isnan(paired_interval(np.nan, [0.1, 0.2], 20).low)
    assert isnan(paired_interval(0.1, [np.nan, 0.2], 20).low)


@pytest.mark.seconds
@pytest.mark.parametrize("patients", [10, 43, 110, 161])
def test_a_candidate_that_loses_the_margin_seldom_passes(patients: int) -> None:
    random = np.random.default_rng(0)  # of a percentile bootstrap 0.60, 0.11, 0.08 and 0.08 pass
    passed = [of_patients(-random.binomial(1, MARGIN, patients).astype(float))[0] >= -MARGIN for _ in range(400)]
    assert np.mean(passed) < 0.045
