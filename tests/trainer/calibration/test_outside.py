import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from sklearn.decomposition import PCA

from cxr.core import features
from cxr.trainer.calibration import outside
from cxr.trainer.calibration.layers import JointOutsideScore, OutsideScore


def pooled(images, seed, width=40, spread=1.0):
    """Features that vary along six directions only, but for a little noise."""
    directions = np.random.default_rng(0).normal(0, 1, (6, width))
    rng = np.random.default_rng(seed)
    along = rng.normal(0, spread, (images, 6)) * [5, 4, 3, 2, 2, 1]
    return (3 + along @ directions + rng.normal(0, 0.3, (images, width))).astype(np.float32)


def fit(splits, share, seed) -> tuple[outside.Detector, outside.Outside]:
    detector, description = outside.fit(splits, share, seed)
    assert detector is not None
    return detector, description


@pytest.fixture(scope="module")
def fitted():
    return fit({"train": pooled(300, 1), "val": pooled(799, 2)}, 0.05, 7)


def test_the_stated_share_of_good_images_is_flagged(fitted):
    detector, description = fitted
    assert description.flagged == pytest.approx(39 / 799)  # the border is the 760th of 799 distances, (799 + 1) · 0.95
    assert (description.images, description.split, description.directions, description.note) == (799, "val", 32, "")
    assert (detector.scores(pooled(2000, 3)) > features.UNLIKE_BORDER).mean() == pytest.approx(0.05, abs=0.02)
    assert detector.distances(pooled(2000, 3)).mean() == pytest.approx(1, abs=0.2)


def test_the_distance_is_mahalanobis_within_the_directions_and_euclidean_outside(fitted):
    train, asked = pooled(300, 1).astype(np.float64), pooled(25, 8, spread=3).astype(np.float64)
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    found = PCA(32, svd_solver="randomized", random_state=7).fit((train - mean) / deviation)
    along, beside = [], []
    for rows in (train, asked):
        z = (rows - mean) / deviation
        along.append(found.transform(z))
        beside.append(((z - found.inverse_transform(along[-1])) ** 2).sum(axis=1))
    inverse = np.linalg.inv(np.cov(along[0], rowvar=False))
    within = np.array([mahalanobis(row, np.zeros(32), inverse) for row in along[1]])
    expected = np.sqrt((within**2 / 32 + beside[1] / beside[0].mean()) / 2)
    np.testing.assert_allclose(fitted[0].distances(asked.astype(np.float32)), expected, rtol=1e-4)


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(pooled(20, 4, spread=6), id="too far along the directions"),
        pytest.param(pooled(20, 5) + np.random.default_rng(5).normal(0, 3, (20, 40)).astype(np.float32), id="beside them"),
        pytest.param(np.zeros((1, 40), np.float32), id="nothing at all"),
    ],
)
def test_what_lies_elsewhere_is_flagged(fitted, odd):
    assert (fitted[0].scores(odd) > features.UNLIKE_BORDER).mean() >= 0.9


def test_the_layer_computes_what_the_detector_does(fitted):
    detector, _ = fitted
    x = np.concatenate([pooled(30, 6), pooled(5, 7) * 50])
    layer = OutsideScore(detector)
    np.testing.assert_allclose(layer(x), detector.scores(x), atol=1e-5)
    assert not layer.trainable_variables
    assert sum(np.size(variable) for variable in layer.variables) == 34 * 40 + 32 + 2  # mean, scale and 32 directions of 40 features
    scores = [detector.scores(x), detector.scores(x[::-1]), np.zeros(35, np.float32)]
    np.testing.assert_allclose(JointOutsideScore(0.3)(scores), outside.joint_scores(scores, 0.3), atol=1e-5)


def test_tiny_features_count_like_large_ones(fitted):
    small, _ = fit({"train": 1e-7 * pooled(300, 1), "val": 1e-7 * pooled(799, 2)}, 0.05, 7)
    np.testing.assert_allclose(small.scores(1e-7 * pooled(30, 3)), fitted[0].scores(pooled(30, 3)), atol=1e-3)


def test_constant_features_yield_numbers():
    detector, description = fit({"train": np.ones((40, 5), np.float32), "val": np.ones((9, 5), np.float32)}, 0.05, 0)
    assert np.isfinite(detector.scores(np.array([[1] * 5, [2] * 5], np.float32))).all()
    assert "none of them is flagged" in description.note  # of nine images no twentieth can be
    assert description.flagged == 0


def test_without_images_to_fit_on_there_is_no_such_output():
    for splits, reason in (
        ({"train": pooled(40, 0)}, "no validation split"),
        ({"train": pooled(7, 0), "val": pooled(9, 1)}, "7 training images are too few"),
    ):
        detector, description = outside.fit(splits, 0.05, 0)
        assert detector is None
        assert description.flagged is None
        assert reason in description.note


def test_it_is_kept_beside_the_model(fitted, tmp_path):
    assert outside.load(str(tmp_path)) is None
    outside.save(str(tmp_path), fitted[0])
    kept = outside.load(str(tmp_path))
    assert kept is not None
    np.testing.assert_array_equal(kept.scores(pooled(9, 3)), fitted[0].scores(pooled(9, 3)))


def test_an_ensemble_asks_its_members():
    rng = np.random.default_rng(0)
    members = [rng.uniform(0.3, 0.5, 199).astype(np.float32) for _ in range(3)]
    shift, description = outside.fit_joint(members, 0.05)
    assert description.flagged == pytest.approx(9 / 199)
    odd = [np.array([score], np.float32) for score in (0.8, 0.7, 0.4)]  # one member sees nothing
    assert outside.joint_scores(odd, shift)[0] > features.UNLIKE_BORDER
    alike = outside.joint_scores([members[0]] * 3, outside.fit_joint([members[0]] * 3, 0.05)[0])
    assert np.array_equal(np.argsort(alike), np.argsort(members[0]))
