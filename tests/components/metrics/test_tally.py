from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from cxr.components.metrics.tally import LOG_LOSS_FLOOR, SCORE_BINS, Tally, score_bin

CLASSES, BINS = 3, 10


def tally(labels: np.ndarray, probabilities: np.ndarray) -> Tally:
    result = Tally.empty(CLASSES, BINS)
    for label, p in zip(labels, probabilities, strict=True):
        result.add(int(label), p)
    return result


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
    predicted, result = probabilities.argmax(axis=1), tally(labels, probabilities)
    assert result.examples == 500
    assert result.accuracy == reference.accuracy_score(labels, predicted)
    assert result.balanced_accuracy == pytest.approx(reference.balanced_accuracy_score(labels, predicted))
    assert result.precision == pytest.approx(reference.precision_score(labels, predicted, average=None))
    assert result.recall == pytest.approx(reference.recall_score(labels, predicted, average=None))
    assert np.array_equal(result.confusion[:, :-1], reference.confusion_matrix(labels, predicted))
    assert result.log_loss == pytest.approx(reference.log_loss(labels, np.clip(probabilities, LOG_LOSS_FLOOR, 1)), rel=1e-4)
    assert result.calibration_error == pytest.approx(expected_calibration_error(labels, probabilities))
    expected = [reference.roc_auc_score(labels == c, probabilities[:, c]) for c in range(CLASSES)]
    assert result.auc == pytest.approx(expected, abs=5e-4)


def test_the_roc_curve_runs_through_its_corners_and_encloses_the_auc() -> None:
    labels, probabilities = random_predictions(400)
    result = tally(labels, probabilities)
    for curve, auc in zip(result.roc, result.auc, strict=True):
        threshold, false_positive, true_positive = curve.T
        assert np.all(np.diff(threshold) > 0)
        assert (curve[0, 1:] == 1).all()
        assert (curve[-1, 1:] == 0).all()
        assert np.trapezoid(true_positive[::-1], false_positive[::-1]) == pytest.approx(auc, abs=0.02)
        middle = len(curve) // 2
        assert threshold[middle] == 0.5
    own = labels == 0
    assert result.roc[0, len(result.roc[0]) // 2, 2] == pytest.approx((probabilities[own, 0] >= 0.5).mean())


def test_auc_is_exact_with_ties_where_scores_are_further_apart_than_bins() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, CLASSES, 200)
    logits = random.integers(-30, 30, (200, CLASSES)) / 8
    probabilities = 1 / (1 + np.exp(-logits))
    expected = [reference.roc_auc_score(labels == c, probabilities[:, c]) for c in range(CLASSES)]
    assert tally(labels, probabilities).auc == pytest.approx(expected, abs=1e-12)


def test_saturated_scores_keep_their_order() -> None:
    scores = np.array([0, 1e-30, 1e-7, 1e-6, 0.5, 1 - 1e-6, 1 - 1e-7, 1], np.float32).astype(np.float64)
    bins = score_bin(scores)
    assert list(bins) == sorted(bins)
    assert (bins[0], bins[-1]) == (0, SCORE_BINS - 1)
    assert len(set(bins)) == len(scores) - 1  # 0 and 1e-30 share the lowest


def test_merged_parts_equal_the_whole() -> None:
    labels, probabilities = random_predictions(60)
    merged = Tally.empty(CLASSES, BINS)
    for part in (slice(0, 10), slice(10, 10), slice(10, 60)):
        merged.merge(tally(labels[part], probabilities[part]))
    whole = tally(labels, probabilities)
    assert np.array_equal(merged.confusion, whole.confusion)
    assert merged.calibration == pytest.approx(whole.calibration)
    assert merged.log_loss == pytest.approx(whole.log_loss)
    assert merged.scores == whole.scores


def test_one_class_only() -> None:
    labels, probabilities = random_predictions(40)
    members = labels == 1
    result = tally(labels[members], probabilities[members])
    assert result.balanced_accuracy == result.accuracy == result.recall[1]
    assert np.isnan(result.recall[[0, 2]]).all()
    assert np.isnan(result.auc).all()


def test_nothing() -> None:
    result = Tally.empty(CLASSES, BINS)
    assert result.examples == 0
    assert np.isnan([result.accuracy, result.balanced_accuracy, result.log_loss, result.calibration_error]).all()


@pytest.mark.parametrize("bad", [[np.nan, 0.5, 0.5], [np.inf, 0, 0], [-0.1, 0.6, 0.5], [2.0, 0, 0]])
def test_predictions_that_are_no_probabilities_count_as_wrong(bad: list[float]) -> None:
    result = tally(np.array([0, 0]), np.array([bad, [0.8, 0.1, 0.1]]))
    assert (result.examples, result.invalid_predictions, result.accuracy) == (2, 1, 0.5)
    assert result.recall[0] == 0.5
    assert result.precision[0] == 1.0
    assert result.log_loss == pytest.approx(-np.log(0.8))


def test_wrong_number_of_probabilities() -> None:
    with pytest.raises(ValueError, match=r"shape \(2,\), expected \(3,\)"):
        tally(np.array([0]), np.array([[0.5, 0.5]]))
