import io

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from cxr.data.audit.processing import BLOCK, traces

SHARPNESS, BLOCKS, HISTOGRAM = slice(0, 6), slice(6, 10), slice(10, 14)


@pytest.fixture
def grey():
    smooth = gaussian_filter(np.random.default_rng(0).normal(size=(200, 160)), 6)
    noisy = 60 + 1000 * smooth.clip(-0.1, 0.1) / 1.5 + np.random.default_rng(1).normal(0, 3, smooth.shape)
    return noisy.round().clip(1, 120).astype(np.uint8)


def test_blur_and_noise_are_seen_in_the_frame_and_contrast_is_not(grey):
    plain = traces(grey)[SHARPNESS]
    np.testing.assert_allclose(traces(grey * 2)[SHARPNESS], plain, atol=0.01)
    for changed in (gaussian_filter(grey, 1), grey + np.random.default_rng(2).integers(0, 20, grey.shape).astype(np.uint8)):
        assert np.abs(traces(changed)[SHARPNESS] - plain).max() > 0.1
    lungs = grey.copy()
    lungs[30:170, 30:130] = gaussian_filter(lungs[30:170, 30:130], 3)
    np.testing.assert_array_equal(traces(lungs)[SHARPNESS], plain)


def test_blocks_are_seen_wherever_their_grid_begins(grey):
    stream = io.BytesIO()
    Image.fromarray(grey).save(stream, "JPEG", quality=60)
    compressed = np.asarray(Image.open(stream))
    plain = traces(grey)[BLOCKS]
    for offset in range(BLOCK):
        found = traces(compressed[offset:, 2 * offset :])[BLOCKS]
        assert (found > 2 * plain).all(), offset


def test_gaps_and_ends_of_the_histogram(grey):
    assert traces(grey)[HISTOGRAM][:3].tolist() == [0, 0, 0]
    every_second = traces(grey * 2)[HISTOGRAM]
    assert every_second[0] == pytest.approx(0.5, abs=0.01)
    assert every_second[3] > 10 * traces(grey)[HISTOGRAM][3]
    grey[:20], grey[20:30] = 0, 255
    assert traces(grey)[HISTOGRAM][1:3].tolist() == pytest.approx([0.1, 0.05])


@pytest.mark.parametrize("shape", [(32, 32), (9, 12), (3, 40)])
def test_small_and_flat_pictures_have_numbers_too(shape):
    for picture in (np.full(shape, 7, np.uint8), np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)):
        found = traces(picture)
        assert found.shape == (14,)
        assert np.isfinite(found).all()
