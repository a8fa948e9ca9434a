from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from cxr.core.curve_bands import GRID, Band, _Curves, curve_bands
from cxr.core.figures import Answers
from cxr.core.intervals import proportion_interval
from cxr.core.support import quantile


def answers(patients: int, images: int = 1, seed: int = 0, rounded: int = 3) -> Answers:
    """Each patient has so many images with nearly the same answer; scores are rounded, so that some are equal."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, patients)
    logits = random.normal(size=(patients, 3))
    logits[np.arange(patients), labels] += 1
    p = np.exp(logits)
    probabilities = np.round(p / p.sum(axis=1, keepdims=True), rounded)
    return Answers(np.repeat(np.arange(patients), images), np.repeat(labels, images), np.repeat(probabilities, images, axis=0))


@pytest.mark.parametrize("index", range(3))
def test_a_weighting_is_the_curve_of_examples_that_stand_so_often(index: int) -> None:
    given = answers(60, rounded=1)
    weights = np.random.default_rng(1).integers(0, 3, (2, 60)).astype(float)
    found = _Curves(given, index)(weights)
    for row, (recalls, precisions) in zip(weights, found, strict=True):
        at = np.repeat(np.arange(60), row.astype(int))
        own, scores = given.labels[at] == index, given.probabilities[at, index]
        false_rates, true_rates, _ = reference.roc_curve(own, scores, drop_intermediate=False)
        assert recalls == pytest.approx(np.interp(GRID, false_rates, true_rates))
        precision, recall, _ = reference.precision_recall_curve(own, scores)
        # the highest threshold that reaches the recall; scikit-learn's come in ascending order, with a made-up last point
        reached = [np.flatnonzero(recall[:-1] >= max(point - 1e-12, 1e-12))[-1] for point in GRID]
        assert precisions == pytest.approx(precision[:-1][reached])


def test_the_area_below_the_whole_curve_is_the_auc() -> None:
    given = answers(400)
    (hits, _) = _Curves(given, 0)(np.ones((1, 400)))[0]
    assert np.trapezoid(hits, GRID) == pytest.approx(reference.roc_auc_score(given.labels == 0, given.probabilities[:, 0]), abs=0.01)


def test_bands_hold_the_curve_and_do_not_shrink_with_images_of_the_same_patients() -> None:
    one, many = (curve_bands(answers(40, images))[0] for images in (1, 9))
    whole = _Curves(answers(40), 0)(np.ones((1, 40)))[0]
    for band, same, curve in zip(one.values(), many.values(), whole, strict=True):
        inside = (band.low - 1e-9 <= curve) & (curve <= band.high + 1e-9)
        assert inside[1:].mean() > 0.95
        assert (band.high - band.low).mean() == pytest.approx((same.high - same.low).mean())
    assert (one["roc"].high - one["roc"].low).mean() > 0.1


def test_what_cannot_be_told_has_no_band() -> None:
    assert curve_bands(answers(9)) == [{}, {}, {}]
    given = answers(60)
    absent = Answers(given.patients, np.minimum(given.labels, 1), given.probabilities)
    assert [bool(bands) for bands in curve_bands(absent)] == [True, True, False]
    rare = Answers(given.patients, np.where(given.patients < 9, 2, np.minimum(given.labels, 1)), given.probabilities)
    assert [bool(bands) for bands in curve_bands(rare)] == [True, True, False]
    nearly_all = Answers(given.patients, np.where(given.patients < 9, 2, 0), given.probabilities)
    assert not any(curve_bands(nearly_all))  # the others of the first class are too few


def test_where_no_draw_differs_the_patients_say_how_much_others_might() -> None:
    labels = np.arange(60) // 30
    perfect = Answers(np.arange(60), labels, np.where(labels[:, np.newaxis] == [0, 1], 0.9, 0.1))
    bands = curve_bands(perfect)[0]
    assert bands["roc"].low[:-1] == pytest.approx(proportion_interval(1.0, 30).low)
    assert bands["roc"].low[-1] == bands["roc"].high[-1] == 1  # where everything is taken for the class
    at_half, at_all = bands["precision_recall"].low[[25, 50]]
    assert at_half == pytest.approx(proportion_interval(1.0, 15).low)  # fifteen patients' images are taken for it there
    assert at_all == pytest.approx(proportion_interval(1.0, 30).low)


def test_where_few_patients_have_most_images_bands_are_wider() -> None:
    images, labels = [20, *[1] * 59], np.arange(60) // 30
    perfect = np.where(labels[:, np.newaxis] == [0, 1], 0.9, 0.1)
    bands = curve_bands(Answers(*(np.repeat(part, images, axis=0) for part in (np.arange(60), labels, perfect))))
    z = quantile([20, *[1] * 29])
    for of_class in bands:  # of the class with these images, and of the other one, which such patients are the others of
        assert of_class["roc"].low[:-1] == pytest.approx(proportion_interval(1.0, 30, z).low)
        assert of_class["precision_recall"].low[50] == pytest.approx(proportion_interval(1.0, 30, z).low)


def test_answers_that_are_no_probabilities_are_left_out() -> None:
    given = answers(30)
    broken = given.probabilities.copy()
    broken[:3] = np.nan
    kept = np.arange(30) >= 3
    weights = np.ones((1, 30))
    found = _Curves(Answers(given.patients, given.labels, broken), 0)(weights)
    rest = _Curves(Answers(given.patients[kept], given.labels[kept], given.probabilities[kept]), 0)(weights[:, kept])
    assert np.array_equal(found, rest)


def test_limits_between_the_places_of_the_grid() -> None:
    between, on = Band(GRID, 2 * GRID).at(np.array([0.125, 0.3]))
    assert (between.low, between.high) == pytest.approx((0.12, 0.28))  # the curve may step anywhere between 0.12 and 0.14
    assert (on.low, on.high) == pytest.approx((0.3, 0.6))
