import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import gaussian_filter

from cxr.trainer import grey_changes

SIZE = 24
IMAGE = np.repeat(np.random.default_rng(0).uniform(0.05, 0.95, (SIZE, SIZE, 1)), 3, axis=2).astype(np.float32)
CHANGES = (grey_changes.exposure, grey_changes.gamma, grey_changes.blur, grey_changes.noise)


def seeds(count):
    return [tf.constant([7, number], tf.int64) for number in range(count)]


def drawn(seed, shape, low, high):
    return tf.random.stateless_uniform(shape, seed, low, high).numpy()


def by_hand(change, most, seed):
    if change is grey_changes.exposure:
        wider, brighter = drawn(seed, [2], -most, most)
        return np.clip((IMAGE - 0.5) * (1 + wider) + 0.5 + brighter, 0, 1)
    if change is grey_changes.gamma:
        return IMAGE ** ((1 + most) ** drawn(seed, [], -1.0, 1.0))
    if change is grey_changes.blur:
        sigma = drawn(seed, [], 0.0, most)
        return gaussian_filter(IMAGE, (sigma, sigma, 0), mode="reflect", radius=(int(np.ceil(3 * most)),) * 2 + (0,))
    shared = tf.random.stateless_normal([SIZE, SIZE, 1], tf.random.experimental.stateless_fold_in(seed, 1)).numpy()
    return np.clip(IMAGE + drawn(seed, [], 0.0, most) * shared, 0, 1)


@pytest.mark.parametrize(
    ("change", "most"), zip(CHANGES, (0.3, 0.8, 1.5, 0.1), strict=True), ids=lambda value: getattr(value, "__name__", "")
)
def test_changes_are_those_of_the_definition_and_stay_in_range(change, most):
    applied = tf.function(lambda seed: change(tf.constant(IMAGE), most, seed), autograph=False)
    results = [applied(seed).numpy() for seed in seeds(4)]
    for result, seed in zip(results, seeds(4), strict=True):
        np.testing.assert_allclose(result, by_hand(change, most, seed), atol=1e-5)
        assert result.shape == IMAGE.shape
        assert 0 <= result.min() <= result.max() <= 1 + 1e-6
        np.testing.assert_allclose(result[..., 0], result[..., 2], atol=1e-6)  # still grey
    assert np.abs(results[0] - results[1]).max() > 1e-3
    np.testing.assert_array_equal(applied(seeds(1)[0]).numpy(), results[0])


def test_a_power_and_its_inverse_are_equally_likely():
    half = tf.fill([1, 1, 1], 0.5)
    powers = np.array([np.log(grey_changes.gamma(half, 1.0, seed).numpy().item()) / np.log(0.5) for seed in seeds(60)])
    assert powers.min() >= 0.5 - 1e-5
    assert powers.max() <= 2 + 1e-5
    assert 0.2 < np.mean(powers > 1) < 0.8
