import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import roc_curve

from cxr.trainer.calibration.operating_points import SENSITIVITY, SPECIFICITY, choose

NAMES = ("a", "b", "c")


def drawn(images, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, images)
    return softmax(rng.normal(0, 1, (images, 3)) + 1.5 * np.eye(3)[labels], axis=1), labels


@pytest.mark.parametrize("images", [20, 143, 500])
def test_they_are_the_best_points_of_the_roc_curve(images):
    p, labels = drawn(images)
    chosen = choose(p, labels, NAMES)
    assert list(chosen) == list(NAMES)
    for index, name in enumerate(NAMES):
        false, true, _ = roc_curve(labels == index, p[:, index], drop_intermediate=False)
        by_specificity, by_sensitivity = chosen[name]
        assert (by_specificity.at_least, by_sensitivity.at_least) == (SPECIFICITY, SENSITIVITY)
        assert by_specificity.specificity >= 0.9 - 1e-9
        assert by_specificity.sensitivity == pytest.approx(true[1 - false >= 0.9 - 1e-9].max())
        assert by_sensitivity.sensitivity >= 0.9 - 1e-9
        assert by_sensitivity.specificity == pytest.approx(1 - false[true >= 0.9 - 1e-9].min())


def test_classes_that_cannot_be_told_are_left_out():
    p, labels = drawn(60)
    assert list(choose(p[labels < 2], labels[labels < 2], NAMES)) == ["a", "b"]
    assert choose(p[labels == 1], labels[labels == 1], NAMES) == {}


def test_saturated_answers_of_others_are_not_called():
    p = np.zeros((20, 3), np.float32)
    p[:, 1] = 1
    p[:2] = [1, 0, 0]  # two of the others
    p[10:] = [0.9, 0.1, 0]
    point, _ = choose(p, np.repeat([1, 0], 10), NAMES)["a"]
    assert point.specificity >= 0.9
    assert point.threshold > 1


def test_nobody_reaches_a_threshold_where_the_others_are_as_sure():
    point, _ = choose(np.full((10, 3), 1 / 3), np.arange(10) % 3, NAMES)["a"]
    assert (point.sensitivity, point.specificity) == (0, 1)
