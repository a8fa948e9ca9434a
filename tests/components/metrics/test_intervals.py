from __future__ import annotations

import math

import numpy as np
import pytest

from cxr.components.metrics import names
from cxr.components.metrics.demand_support import judged, patients_of_demand
from cxr.core.figure_intervals import Recalls, difference_interval, interval
from cxr.core.intervals import MIN_PATIENTS, Interval, Z, bootstrap_interval, proportion_interval, share_interval
from cxr.core.measurement import Measurement
from cxr.core.paired_intervals import paired_interval
from cxr.core.support import Support

PER_CLASS = np.array([[4, 30, 0], [7, 20, 9]])  # patients with an image of the class; with one that is taken for it
QUANTILES = np.array([[2.0] * 3, [2.1, 2.2, 2.3], [2.4, 2.5, 2.6], [2.7, 2.8, 2.05]])  # of all, of these, of those, of the others
SUPPORT = Support(32, PER_CLASS, QUANTILES)
DRAWS = np.random.default_rng(0).uniform(0.4, 0.6, 1000)


@pytest.mark.parametrize(
    ("figure", "class_id", "patients"),
    [
        ("accuracy", None, 32),
        ("balanced_accuracy", None, 8),  # two classes have patients, the rarer one four
        ("recall", 1, 30),
        ("precision", 2, 9),
        ("auc", 1, 4),
        ("auc", 2, 0),
        ("of_tfma", None, 32),
        ("of_tfma", 0, 4),
    ],
)
def test_on_whom_a_demand_rests(figure: str, class_id: int | None, patients: int) -> None:
    """Figures have a rule each; a metric that gate.metrics adds rests on all patients, or on the class's."""
    assert patients_of_demand(figure, class_id, 32, PER_CLASS) == patients


def test_a_share_on_few_patients_has_wilsons_interval_and_other_figures_none() -> None:
    assert interval("recall", 0, 0.5, DRAWS, SUPPORT) == proportion_interval(0.5, 4, 2.1)
    assert interval("recall", 1, 0.5, DRAWS, SUPPORT) == share_interval(0.5, DRAWS, 30, 2.2)
    assert interval("precision", 1, 0.5, DRAWS, SUPPORT) == share_interval(0.5, DRAWS, 20, 2.5)
    assert interval("auc", 1, 0.5, DRAWS, SUPPORT) == proportion_interval(0.5, 4, 2.8)  # that is the smaller side
    large = Support(99, np.array([[40, 30, 0], [0, 0, 0]]), np.full((4, 3), Z))
    assert interval("auc", 1, 1.0, np.ones(1000), large) == proportion_interval(1.0, 30)
    for patients in (MIN_PATIENTS, MIN_PATIENTS - 1):
        found = interval("log_loss", None, 0.5, DRAWS, Support(patients, PER_CLASS, QUANTILES))
        assert found == bootstrap_interval(DRAWS, patients, 2.0) or math.isnan(found.low)
        assert math.isnan(found.low) == (patients < MIN_PATIENTS)


def balanced(recalls: list[float], draws: np.ndarray, patients: list[int], value: float = 0.5) -> Interval:
    support = Support(sum(patients), np.array([patients, patients]), np.full((4, len(patients)), Z))
    return interval("balanced_accuracy", None, value, draws.mean(axis=1), support, Recalls(np.array(recalls), draws))


def test_a_balanced_accuracy_is_as_uncertain_as_the_recalls_that_it_is_the_mean_of() -> None:
    one = balanced([0.5], DRAWS[:, np.newaxis], [30])
    assert (one.low, one.high) == pytest.approx((share_interval(0.5, DRAWS, 30).low, share_interval(0.5, DRAWS, 30).high))
    two = balanced([1.0, 1.0], np.ones((1000, 2)), [4, 50], 1.0)
    below = [1 - proportion_interval(1.0, patients).low for patients in (4, 50)]
    assert (two.low, two.high) == pytest.approx((1 - math.hypot(*below) / 2, 1.0))
    absent = balanced([1.0, math.nan, 1.0], np.ones((1000, 3)), [4, 0, 50], 1.0)
    assert (absent.low, absent.high) == pytest.approx((two.low, two.high))
    assert math.isnan(balanced([math.nan], DRAWS[:, np.newaxis] * math.nan, [0]).low)


@pytest.mark.seconds
def test_a_class_of_few_patients_does_not_make_a_balanced_accuracy_sure() -> None:
    random, truth = np.random.default_rng(0), 0.8  # a percentile bootstrap holds it in 0.72 of the splits
    held = []
    for _ in range(300):
        labels = np.repeat([0, 1, 2], [4, 50, 50])
        taken = np.where(random.random(104) < truth, labels, (labels + 1) % 3)
        found = Measurement(np.arange(104), labels, np.eye(3)[taken]).figure("balanced_accuracy")
        held.append((found.low or 0.0) <= truth <= (found.high or 0.0))
    assert np.mean(held) > 0.94


def test_a_change_of_a_share_has_an_interval_by_counts_and_another_figures_by_draws() -> None:
    draws = np.random.default_rng(1).normal(0.01, 0.02, 1000)
    for figure, class_id, expected in (
        ("log_loss", None, bootstrap_interval(draws, 32, 2.0)),
        ("auc", 1, bootstrap_interval(draws, 32, 2.8)),
        ("accuracy", None, paired_interval(0.01, draws, 32, 2.0)),
        ("recall", 1, paired_interval(0.01, draws, 30, 2.2)),
        ("balanced_accuracy", None, paired_interval(0.01, draws, 8, 2.3)),
    ):
        assert difference_interval(figure, class_id, 0.01, draws, SUPPORT) == expected
    too_few = Support(MIN_PATIENTS - 1, PER_CLASS, QUANTILES)
    assert math.isnan(difference_interval("accuracy", None, 0.01, draws, too_few).low)
    assert math.isnan(difference_interval("recall", 2, math.nan, draws * math.nan, SUPPORT).low)


def test_what_a_slice_needs_to_be_judged() -> None:
    assert judged(0.0, 20, 20)
    assert not judged(0.9, 19, 20)
    assert not judged(math.nan, 20, 20)


def test_every_column_of_the_draws_has_a_name_of_its_own() -> None:
    found = names.columns(3)
    assert len(found) == len(set(found)) == len(names.FIGURES) + 3 * len(names.CLASS_FIGURES)
    assert {name for name, _ in found} < names.taken()
    assert {"recall_lower", "log_loss_upper", "accuracy_change_lower"} < names.taken()


def test_one_patient_with_two_classes_changes_little() -> None:
    """All right: nothing can be seen of how recalls vary together, and no more is taken than those who are shared allow."""
    patients, labels = np.arange(150), np.repeat([0, 1, 2], 50)
    alone = Measurement(patients, labels, np.eye(3)[labels]).figure("balanced_accuracy")
    more = np.r_[labels, 1]
    shared = Measurement(np.r_[patients, 0], more, np.eye(3)[more]).figure("balanced_accuracy")
    assert shared.low == pytest.approx(alone.low, abs=0.005)


@pytest.mark.parametrize("right", [24, 30])
def test_recalls_of_the_same_patients_are_no_independent_estimates(right: int) -> None:
    """Each patient has an image of each class, all right or all wrong: the balanced accuracy is as sure as the accuracy, no surer."""
    patients, labels = np.repeat(np.arange(30), 3), np.tile([0, 1, 2], 30)
    taken = np.where(patients < right, labels, (labels + 1) % 3)
    found = Measurement(patients, labels, np.eye(3)[taken])
    accuracy, balanced_accuracy = found.figure("accuracy"), found.figure("balanced_accuracy")
    assert balanced_accuracy.value == pytest.approx(accuracy.value)
    assert balanced_accuracy.low == pytest.approx(accuracy.low, abs=0.01)
    assert balanced_accuracy.high == pytest.approx(accuracy.high, abs=0.01)
