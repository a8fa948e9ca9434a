import numpy as np
import pytest
import tensorflow as tf

from cxr.trainer import contrast
from cxr.trainer.contrast import CLIP_LIMIT, LEVELS, TILES

SIZE = 44  # not a multiple of the tiles


def pictures(count=2):
    """Smooth, of few grey levels in the middle: a pale radiograph."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    rng = np.random.default_rng(1)
    stack = [0.35 + 0.2 * np.sin(3 * x + i) * np.cos(2 * y) + rng.normal(0, 0.01, x.shape) for i in range(count)]
    return np.stack(stack)[..., np.newaxis].clip(0, 1).astype(np.float32)


def applied(how, images):
    return tf.function(lambda grey: contrast.apply(grey, how), autograph=False)(tf.constant(images)).numpy()


def bars_to_map(values, limit=None):
    """One tile's map of levels, step by step."""
    bars = np.array([np.sum(values == level) for level in range(LEVELS)]) / values.size
    if limit is not None:
        clipped = np.minimum(bars, limit / LEVELS)
        bars = clipped + (1 - clipped.sum()) / LEVELS
    below, lowest = np.cumsum(bars), bars[np.nonzero(bars)[0][0]]
    return np.clip((below - lowest) / (1 - lowest), 0, 1)


def clahe_by_pixel(image):
    """The definition, pixel by pixel: the maps of the four nearest tiles, by the distance to their centres."""
    side = -(-SIZE // TILES)
    tiles = -(-SIZE // side)
    levels = np.round(image * (LEVELS - 1)).astype(int)
    padded = np.pad(levels, (0, tiles * side - SIZE), mode="symmetric")
    maps = [
        [bars_to_map(padded[r * side : (r + 1) * side, c * side : (c + 1) * side], CLIP_LIMIT) for c in range(tiles)] for r in range(tiles)
    ]
    result = np.zeros(image.shape)
    for y in range(SIZE):
        for x in range(SIZE):
            for r in range(tiles):
                for c in range(tiles):
                    at_y = np.clip((y + 0.5) / side - 0.5, 0, tiles - 1)
                    at_x = np.clip((x + 0.5) / side - 0.5, 0, tiles - 1)
                    weight = max(0, 1 - abs(at_y - r)) * max(0, 1 - abs(at_x - c))
                    if weight:
                        result[y, x] += weight * maps[r][c][levels[y, x]]
    return result


@pytest.mark.seconds
def test_clahe_is_the_published_method():
    images = pictures(2)
    np.testing.assert_allclose(applied("clahe", images)[1, ..., 0], clahe_by_pixel(images[1, ..., 0]), atol=1e-4)


def test_equalized_levels_are_equally_frequent():
    image = pictures(1)
    result = applied("equalize", image)[0, ..., 0]
    levels = np.round(image[0, ..., 0] * (LEVELS - 1)).astype(int)
    np.testing.assert_allclose(result, bars_to_map(levels)[levels], atol=1e-5)
    np.testing.assert_allclose(np.quantile(result, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.03)


@pytest.mark.parametrize(("how", "near"), [("percentiles", 0.01), ("equalize", 0.05)])  # the latter has 256 levels, some of which meet
def test_another_exposure_gives_the_same_picture(how, near):
    images = pictures(2)
    brighter = images * 0.7 + 0.25
    np.testing.assert_allclose(applied(how, images), applied(how, brighter), atol=near)
    assert np.abs(images - brighter).min() > 0.06


def test_a_few_burnt_in_pixels_do_not_move_the_percentiles():
    image = pictures(1)
    marked = image.copy()
    marked[0, :2, :2] = 1
    np.testing.assert_allclose(applied("percentiles", marked)[0, 5:], applied("percentiles", image)[0, 5:], atol=0.02)


@pytest.mark.parametrize("how", ["none", "percentiles", "equalize", "clahe"])
def test_one_grey_level_and_no_pictures_at_all(how):
    flat = applied(how, np.full((1, SIZE, SIZE, 1), 0.3, np.float32))
    assert np.isfinite(flat).all()
    assert np.ptp(flat) < 1e-6
    assert applied(how, np.zeros((0, SIZE, SIZE, 1), np.float32)).shape == (0, SIZE, SIZE, 1)


def test_each_picture_by_itself():
    images = pictures(3)
    for how in ("percentiles", "equalize", "clahe"):
        np.testing.assert_allclose(applied(how, images)[1], applied(how, images[1:2])[0], atol=1e-6)
