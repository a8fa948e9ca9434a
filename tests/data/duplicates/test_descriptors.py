import numpy as np
import pytest

from cxr.data.duplicates import descriptors
from cxr.data.duplicates.descriptors import VIEWS, Whitening, coefficients, even, view


@pytest.fixture
def thumbnails():
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (300, 8, 8)).astype(np.uint8)
    return np.kron(coarse, np.ones((8, 8), np.uint8))


def test_a_mirrored_picture_changes_the_sign_of_the_odd_part(thumbnails):
    whitening = Whitening.fit(coefficients(thumbnails), even())
    plain, mirrored = (whitening.descriptors(coefficients(pictures)) for pictures in (thumbnails, thumbnails[:, :, ::-1]))
    np.testing.assert_allclose(mirrored[:, even()], plain[:, even()], atol=1e-4)
    np.testing.assert_allclose(mirrored[:, ~even()], -plain[:, ~even()], atol=1e-4)


def test_whitening_takes_out_what_pictures_share(thumbnails):
    shared = np.kron(np.random.default_rng(1).integers(0, 256, (8, 8)), np.ones((8, 8)))
    alike = (0.7 * shared + 0.3 * thumbnails).astype(np.uint8)
    samples = coefficients(alike)
    lengths = np.linalg.norm(samples, axis=1, keepdims=True)
    others = ~np.eye(len(alike), dtype=bool)
    before = ((samples / lengths) @ (samples / lengths).T)[others]
    described = Whitening.fit(samples, even()).descriptors(samples)
    after = (described @ described.T)[others]
    assert before.mean() > 0.5
    assert abs(after.mean()) < 0.15
    np.testing.assert_allclose(np.linalg.norm(described, axis=1), 1, rtol=1e-5)


def test_one_picture_and_a_blank_one_have_a_descriptor():
    for pictures in (np.zeros((1, 64, 64), np.uint8), np.eye(64, dtype=np.uint8)[None] * 255):
        samples = coefficients(pictures)
        assert np.isfinite(Whitening.fit(samples, even()).descriptors(samples)).all()


def test_a_view_is_the_window():
    picture = np.arange(64, dtype=np.uint8)[None, None, :].repeat(64, axis=1)
    seen = view(picture, (0.25, 0.5, 0, 0), side=16)
    assert seen.shape == (1, 16, 16)
    np.testing.assert_allclose(seen[0, 0], np.arange(16, 32), atol=1e-4)


def test_the_median_of_each_picture(thumbnails):
    pictures = view(thumbnails, VIEWS[0])
    np.testing.assert_array_equal(descriptors._medians(pictures), np.median(pictures, axis=(1, 2), keepdims=True))


def test_brightness_and_contrast_do_not_matter(thumbnails):
    one, other = (descriptors.local_contrast(view(pictures, VIEWS[0])) for pictures in (thumbnails, thumbnails // 2 + 60))
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.99
