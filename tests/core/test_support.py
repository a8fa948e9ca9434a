from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from cxr.core.figure_table import TABLE, Behind
from cxr.core.figures import Answers
from cxr.core.intervals import Z, bootstrap_interval
from cxr.core.support import Support, images_of, large_share, quantile


@pytest.mark.parametrize("images", [[1] * 20, [7] * 3, [5], []])
def test_where_all_have_as_many_images_intervals_are_wilsons(images: list[int]) -> None:
    assert quantile(images) == pytest.approx(Z)


def test_the_more_unequal_patients_are_the_wider_are_intervals() -> None:
    found = [quantile([1] * 19 + [most]) for most in (1, 2, 5, 20, 200)]
    assert found == sorted(set(found))
    one = quantile([1] * 19 + [10**6])
    assert one == pytest.approx(Z * t.ppf(0.975, 1) / t.ppf(0.975, 20))  # as much is known of the variance as one patient tells


def test_degrees_of_freedom_are_satterthwaites() -> None:
    """Those of a sum of squares of normal numbers, by simulation: twice the squared mean over the variance."""
    images = np.array([1, 1, 2, 3, 5, 8])
    sums = (images**2 * np.random.default_rng(0).normal(size=(200_000, 6)) ** 2).sum(axis=1)
    freedom = 2 * sums.mean() ** 2 / sums.var()
    assert quantile(images) == pytest.approx(Z * t.ppf(0.975, freedom) / t.ppf(0.975, 6), rel=0.01)


def answers() -> Answers:
    """Of class 0 a patient has most images; class 1 is equal; what is taken for class 2 is one patient's and another's."""
    images = {0: [20, 1, 1, 1], 1: [2, 2, 2, 2, 2], 2: [3, 1]}
    labels = np.concatenate([np.repeat(c, sum(found)) for c, found in images.items()])
    patients = np.repeat(np.arange(11), [n for found in images.values() for n in found])
    taken = labels.copy()
    taken[-1] = 1  # the last patient's only image
    return Answers(patients, labels, np.eye(3)[taken])


@pytest.mark.parametrize("figure", TABLE)
def test_each_figure_has_the_quantile_of_those_whom_it_rests_on(figure: str) -> None:
    found = answers()
    support = Support.of(found)
    of = {
        Behind.EVERYBODY: lambda _: quantile(images_of(found.patients)),
        Behind.RAREST_CLASS: lambda _: max(quantile(images_of(found.patients[found.labels == k])) for k in range(3)),
        Behind.OWN: lambda c: quantile(images_of(found.patients[found.labels == c])),
        Behind.TAKEN_FOR_IT: lambda c: quantile(images_of(found.patients[found.predicted == c])),
        Behind.OTHERS: lambda c: quantile(images_of(found.patients[found.labels != c])),
    }
    of[Behind.SMALLER_SIDE] = lambda c: max(of[Behind.OWN](c), of[Behind.OTHERS](c))
    row = TABLE[figure]
    for class_id in range(3) if row.of_class else [None]:
        assert support.quantile(figure, class_id) == of[row.behind](class_id)
    if row.behind in (Behind.OWN, Behind.TAKEN_FOR_IT):
        assert len({support.quantile(figure, k) for k in range(3)}) == 3


def test_a_difference_rests_on_the_weaker_of_both() -> None:
    one = Support(9, np.array([[4, 5], [2, 7]]), np.full((4, 2), 2.0))
    other = Support(9, np.array([[4, 5], [6, 3]]), np.full((4, 2), 3.0))
    both = Support.of_both(one, other)
    assert (both.patients, both.per_class.tolist(), both.quantiles.tolist()) == (9, [[4, 5], [2, 3]], [[3.0] * 2] * 4)


def test_a_slice_without_answers_has_a_support_too() -> None:
    empty = Support.of(Answers(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 3))))
    assert (empty.patients, empty.per_class.tolist()) == (0, [[0, 0, 0]] * 2)
    assert empty.quantiles.tolist() == [[Z] * 3] * 4


def test_percentiles_reach_as_far_as_the_quantile() -> None:
    draws = np.linspace(0, 1, 1001)
    wider = bootstrap_interval(draws, 10, 2.5758293)
    assert (wider.low, wider.high) == pytest.approx((0.005, 0.995), abs=1e-6)
    everything = bootstrap_interval(draws, 10, 12.0)
    assert (everything.low, everything.high) == (0, 1)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ([200, *[1] * 99], "one patient has 200 of the 299 images"),
        ([3, *[1] * 11], ""),  # 0.21 of them, less than three times as many as in the mean
        ([5, *[1] * 11], "one patient has 5 of the 16 images"),
        ([2, *[1] * 8], ""),
        ([5, 5], ""),
        ([4, 1, 1], ""),
        ([], ""),
    ],
)
def test_a_patient_with_a_large_share_of_the_images_is_told(images, said):
    found = large_share(np.repeat([f"SECRET{number}" for number in range(len(images))], images))
    assert found.startswith(said)
    assert bool(found) == bool(said)
    assert "SECRET" not in found
