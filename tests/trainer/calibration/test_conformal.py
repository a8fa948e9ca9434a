import numpy as np
import pytest
from scipy.special import softmax

from cxr.trainer.calibration import conformal
from cxr.trainer.calibration.ranks import conformal_quantile


def drawn(images, seed):
    rng = np.random.default_rng(seed)
    p = softmax(rng.normal(0, 2, (images, 3)), axis=1)
    return p, np.array([rng.choice(3, p=row) for row in p])


def fit(images, coverage):
    p, labels = drawn(images, 1)
    return conformal.fit(p, labels, coverage)


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.99])
def test_sets_hold_the_class_as_often_as_promised(coverage):
    fitted = fit(1000, coverage)
    p, labels = drawn(5000, 2)
    sets = conformal.members(p, fitted.least_probability)
    assert coverage - 0.02 <= sets[np.arange(5000), labels].mean() <= coverage + 0.02
    assert fitted.covered >= coverage
    assert 1 <= sets.sum(axis=1).min() <= fitted.mean_size <= 3


def test_the_likeliest_class_is_always_in_the_set():
    assert conformal.members([[0.4, 0.35, 0.25], [0.1, 0.8, 0.1]], 0.7).tolist() == [[True, False, False], [False, True, False]]


def test_too_few_images_rule_nothing_out():
    fitted = fit(8, 0.9)  # (8 + 1) · 0.9 is more than eight
    assert fitted.least_probability == 0
    assert fitted.mean_size == 3
    assert "8 images are too few" in fitted.note


def test_the_rank_is_that_of_split_conformal_prediction():
    assert conformal_quantile(range(1, 10), 0.9) == 9  # the ninth of nine, not an index error of 9.000000000000002
    assert conformal_quantile(range(1, 20), 0.9) == 18
    assert conformal_quantile(range(8), 0.9) is None
    assert conformal_quantile([], 0.5) is None
