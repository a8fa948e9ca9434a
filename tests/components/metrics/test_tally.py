from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from cxr.components.metrics.tally import Results, Tally
from cxr.core.figure_table import TABLE
from cxr.core.figures import LOG_LOSS_FLOOR, Measure
from cxr.core.resampling import DRAWS

CLASSES, BINS = 3, 10


def tally(labels: np.ndarray, probabilities: np.ndarray, patients: np.ndarray | None = None) -> Tally:
    """Each example is of a patient of its own unless `patients` says otherwise."""
    result = Tally(CLASSES, BINS)
    for label, p, patient in zip(labels, probabilities, range(len(labels)) if patients is None else patients, strict=True):
        result.add(int(label), p, b"%d" % patient)
    return result


def results(labels: np.ndarray, probabilities: np.ndarray, patients: np.ndarray | None = None) -> Results:
    return tally(labels, probabilities, patients).results()


def drawn(results: Results, figure: str) -> np.ndarray:
    return np.concatenate([getattr(part, figure) for part in results.draws])


def random_predictions(n: int, seed: int = 0, scale: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, n)
    logits = random.normal(scale=scale, size=(n, CLASSES))
    logits[np.arange(n), labels] += scale / 2
    e = np.exp(logits)
    return labels, (e / e.sum(axis=1, keepdims=True)).astype(np.float32)


def expected_calibration_error(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Guo et al.'s definition, bin by bin."""
    confidence, right = probabilities.max(axis=1).astype(float), probabilities.argmax(axis=1) == labels
    total = 0.0
    for b in range(BINS):
        members = (confidence > b / BINS) & (confidence <= (b + 1) / BINS)
        if members.any():
            total += members.mean() * abs(right[members].mean() - confidence[members].mean())
    return total


@pytest.mark.parametrize("seed", range(3))
def test_matches_scikit_learn(seed: int) -> None:
    labels, probabilities = random_predictions(500, seed)
    predicted, found = probabilities.argmax(axis=1), results(labels, probabilities)
    result = found.figures
    assert found.examples == found.support.patients == 500
    assert result.accuracy[0] == reference.accuracy_score(labels, predicted)
    assert result.balanced_accuracy[0] == pytest.approx(reference.balanced_accuracy_score(labels, predicted))
    assert result.precision[0] == pytest.approx(reference.precision_score(labels, predicted, average=None))
    assert result.recall[0] == pytest.approx(reference.recall_score(labels, predicted, average=None))
    of_others = [reference.recall_score(labels != c, predicted != c) for c in range(CLASSES)]
    assert result.specificity[0] == pytest.approx(of_others)
    assert np.array_equal(found.confusion[:, :-1], reference.confusion_matrix(labels, predicted))
    assert result.log_loss[0] == pytest.approx(reference.log_loss(labels, np.clip(probabilities, LOG_LOSS_FLOOR, 1)), rel=1e-4)
    assert result.calibration_error[0] == pytest.approx(expected_calibration_error(labels, probabilities))
    expected = [reference.roc_auc_score(labels == c, probabilities[:, c]) for c in range(CLASSES)]
    assert result.auc[0] == pytest.approx(expected, abs=1e-12)


def test_the_roc_curve_runs_through_its_corners_and_encloses_the_auc() -> None:
    labels, probabilities = random_predictions(400)
    result = results(labels, probabilities)
    for curve, auc in zip(result.roc, result.figures.auc[0], strict=True):
        threshold, false_positive, true_positive = curve.T
        assert np.all(np.diff(threshold) > 0)
        assert (curve[0, 1:] == 1).all()
        assert (curve[-1, 1:] == 0).all()
        assert np.trapezoid(true_positive[::-1], false_positive[::-1]) == pytest.approx(auc, abs=0.02)
        middle = len(curve) // 2
        assert threshold[middle] == 0.5
    own = labels == 0
    assert result.roc[0, len(result.roc[0]) // 2, 2] == pytest.approx((probabilities[own, 0] >= 0.5).mean())


def test_auc_is_exact_with_ties() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, CLASSES, 200)
    logits = random.integers(-30, 30, (200, CLASSES)) / 8
    probabilities = 1 / (1 + np.exp(-logits))
    expected = [reference.roc_auc_score(labels == c, probabilities[:, c]) for c in range(CLASSES)]
    assert results(labels, probabilities).figures.auc[0] == pytest.approx(expected, abs=1e-12)


def test_saturated_scores_keep_their_order() -> None:
    scores = np.array([0, 1e-30, 1e-7, 1e-6, 0.5, 1 - 1e-6, 1 - 1e-7, 1], np.float32)
    probabilities = np.stack([scores, 1 - scores, np.zeros(8)], axis=1)
    assert results(np.array([1] * 4 + [0] * 4), probabilities).figures.auc[0, 0] == 1
    assert results(np.array([1] * 7 + [0]), probabilities).figures.auc[0, 0] == 1


def test_parts_merged_in_any_order_equal_the_whole() -> None:
    labels, probabilities = random_predictions(60)
    patients = np.arange(60) // 3
    merged = Tally(CLASSES, BINS)
    for part in (slice(20, 60), slice(10, 10), slice(0, 20)):
        merged.merge(tally(labels[part], probabilities[part], patients[part]))
    whole, found = results(labels, probabilities, patients), merged.results()
    assert found.support.patients == 20
    assert np.array_equal(found.confusion, whole.confusion)
    for name in ("accuracy", "log_loss", "calibration_error", "auc"):
        assert np.array_equal(drawn(found, name), drawn(whole, name)), name


def test_one_class_only() -> None:
    labels, probabilities = random_predictions(40)
    members = labels == 1
    result = results(labels[members], probabilities[members]).figures
    assert result.balanced_accuracy == result.accuracy == result.recall[0, 1]
    assert np.isnan(result.recall[0, [0, 2]]).all()
    assert np.isnan(result.auc).all()


def test_nothing() -> None:
    found = Tally(CLASSES, BINS).results()
    result = found.figures
    assert (found.examples, found.support.patients, found.draws) == (0, 0, [])
    assert np.isnan([result.accuracy, result.balanced_accuracy, result.log_loss, result.calibration_error]).all()


@pytest.mark.parametrize("bad", [[np.nan, 0.5, 0.5], [np.inf, 0, 0], [-0.1, 0.6, 0.5], [2.0, 0, 0]])
def test_predictions_that_are_no_probabilities_count_as_wrong(bad: list[float]) -> None:
    found = results(np.array([0, 0]), np.array([bad, [0.8, 0.1, 0.1]]))
    result = found.figures
    assert (found.examples, found.invalid_predictions, result.accuracy[0]) == (2, 1, 0.5)
    assert result.recall[0, 0] == 0.5
    assert result.precision[0, 0] == 1.0
    assert np.isnan(result.specificity[0, 0])  # no image of another class
    assert result.specificity[0, 1:].tolist() == [0.5, 0.5]
    assert result.log_loss[0] == pytest.approx(-np.log(0.8))


def test_wrong_number_of_probabilities() -> None:
    with pytest.raises(ValueError, match=r"shape \(2,\), expected \(3,\)"):
        tally(np.array([0]), np.array([[0.5, 0.5]]))


# === Draws of patients ===


def test_each_draw_is_what_its_images_would_have_given_themselves() -> None:
    labels, probabilities = random_predictions(40)
    patients = np.sort(np.random.default_rng(1).integers(0, 12, 40))
    answers = tally(labels, probabilities, patients).results()._answers
    counts = np.random.default_rng(2).integers(0, 4, (5, 12)).astype(float)[:, answers.patients]
    figures = Measure(answers, BINS)(counts)
    for row, weights in enumerate(counts.astype(int)):
        images = np.repeat(np.arange(40), weights)
        alone = results(answers.labels[images], answers.probabilities[images]).figures
        for name in TABLE:
            np.testing.assert_allclose(getattr(figures, name)[row], getattr(alone, name)[0], atol=1e-9, err_msg=name)


def test_independent_images_have_the_spread_of_a_binomial_share() -> None:
    labels, probabilities = random_predictions(400)
    found = results(labels, probabilities)
    accuracy = found.figures.accuracy[0]
    draws = drawn(found, "accuracy")
    assert draws.shape == (DRAWS,)
    assert draws.std() == pytest.approx(np.sqrt(accuracy * (1 - accuracy) / 400), rel=0.1)


def test_ten_copies_of_each_image_tell_no_more_than_one() -> None:
    labels, probabilities = random_predictions(60)
    once = results(labels, probabilities)
    tenfold = results(np.repeat(labels, 10), np.repeat(probabilities, 10, axis=0), np.repeat(np.arange(60), 10))
    np.testing.assert_allclose(drawn(tenfold, "accuracy"), drawn(once, "accuracy"))
    np.testing.assert_allclose(drawn(tenfold, "auc"), drawn(once, "auc"))


def test_two_models_are_judged_on_the_same_draws() -> None:
    labels, probabilities = random_predictions(200)
    other = probabilities.copy()
    other[:5] = other[:5, [1, 2, 0]]  # the difference of five answers moves far less than either accuracy
    first, second = (drawn(results(labels, p), "accuracy") for p in (probabilities, other))
    assert (first - second).std() < first.std() / 2


def test_who_is_counted_per_class() -> None:
    found = results(np.array([0, 0, 0, 1]), np.eye(3)[[0, 0, 1, 1]], np.array([7, 7, 8, 8]))
    assert found.support.per_class.tolist() == [[2, 1, 0], [1, 1, 0]]
