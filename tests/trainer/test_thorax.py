import numpy as np
import pytest
import tensorflow as tf

from cxr.trainer import contrast, thorax
from cxr.trainer.thorax import ABOVE, BELOW, BESIDE, GRID, LEAST_SCORE

SIZE = 96
WHOLE = [0, 0, 1, 1]


@pytest.fixture
def drawn(drawn_chest):
    """Returns a function that draws a radiograph, float32 [SIZE, SIZE, 1], and tells where its lungs are."""

    def draw(seed):
        picture, lungs = drawn_chest(seed, SIZE)
        return picture[..., np.newaxis].astype(np.float32) / 255, lungs

    return draw


def found(pictures):
    return tf.function(thorax.find, autograph=False)(tf.constant(np.asarray(pictures))).numpy()


def mean_at(levels, place, region):
    """The mean level of a region of the box at a place, pixel by pixel; None where nothing of it lies in the picture."""
    (top, left, bottom, right), (rows, columns) = place, region
    spans = []
    for begin, end, (first, last) in ((top, bottom, rows), (left, right, columns)):
        ends = [min(max((begin + share * (end - begin)) * GRID, 0), GRID) for share in (first, last)]
        if ends[1] - ends[0] <= 0.5:
            return None
        spans.append([max(0, min(ends[1], pixel + 1) - max(ends[0], pixel)) for pixel in range(GRID)])
    weights = np.outer(spans[0], spans[1])
    return (weights * levels).sum() / weights.sum()


def score_at(levels, place):
    """The definition, step by step."""
    left, right = (mean_at(levels, place, region) for region in thorax._LUNGS)
    score = mean_at(levels, place, thorax._MEDIASTINUM) - max(left, right)
    for outside, inside, weight in thorax._EDGES:
        without = mean_at(levels, place, outside)
        if without is not None:
            score += weight * (without - np.mean([mean_at(levels, place, region) for region in inside]))
    return score - sum((share - usual) ** 2 for share, usual in zip(place, (0.1, 0.1, 0.9, 0.9), strict=True))


def test_scores_are_those_of_the_definition(drawn):
    picture = drawn(3)[0]
    small = tf.image.resize(picture[np.newaxis], [GRID, GRID], antialias=True)
    levels = contrast.apply(small, "equalize").numpy()[0, ..., 0]
    rows = thorax._pairs(thorax._TOPS, thorax._BOTTOMS, thorax._LEAST_HEIGHT)
    columns = thorax._pairs(thorax._LEFTS, thorax._RIGHTS, thorax._LEAST_WIDTH)
    scores = thorax._scores(levels[np.newaxis], rows, columns).numpy()[0]
    rng = np.random.default_rng(0)
    chosen = [
        (0, 0),
        (len(rows) - 1, len(columns) - 1),
        *zip(rng.integers(0, len(rows), 40), rng.integers(0, len(columns), 40), strict=True),
    ]
    for r, c in chosen:
        (top, bottom), (left, right) = rows[r], columns[c]
        assert scores[r, c] == pytest.approx(score_at(levels, (top, left, bottom, right)), abs=1e-4)
    r, c = np.unravel_index(scores.argmax(), scores.shape)
    (top, bottom), (left, right) = rows[r], columns[c]
    assert scores.max() > LEAST_SCORE
    height, width = bottom - top, right - left
    kept = [top - ABOVE * height, left - BESIDE * width, bottom + BELOW * height, right + BESIDE * width]
    np.testing.assert_allclose(found([picture])[0], np.clip(kept, 0, 1), atol=1e-6)


def test_the_box_holds_the_lungs_of_drawn_radiographs_and_leaves_much_else_out(drawn):
    pictures, lungs = zip(*(drawn(seed) for seed in range(12)), strict=True)
    boxes = found(pictures)
    held = []
    for (top, left, bottom, right), mask in zip(np.round(boxes * SIZE).astype(int), lungs, strict=True):
        held.append(mask[top:bottom, left:right].sum() / mask.sum())
    assert np.mean(held) > 0.97
    assert min(held) > 0.85
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    assert np.mean(areas) < 0.75


def test_the_box_follows_the_thorax_and_not_the_exposure(drawn):
    picture = drawn(3)[0]
    moved = np.pad(picture, ((0, 0), (10, 0), (0, 0)), "edge")[:, :SIZE]
    before, after, brighter = found([picture, moved, picture * 0.5 + 0.3])
    assert after[1] - before[1] == pytest.approx(10 / SIZE, abs=0.05)
    np.testing.assert_allclose(brighter, before, atol=0.04)


def test_the_whole_picture_is_kept_where_nothing_looks_like_a_thorax():
    rng = np.random.default_rng(0)
    flat, noise = np.full((SIZE, SIZE, 1), 0.4, np.float32), rng.uniform(size=(SIZE, SIZE, 1)).astype(np.float32)
    np.testing.assert_array_equal(found([flat, noise]), [WHOLE] * 2)
    assert found(np.zeros((0, SIZE, SIZE, 1), np.float32)).shape == (0, 4)


def resampled(line, first, last, size):
    """One line cut and scaled: each new pixel is the mean under a triangle as wide as it is, at least as wide as an old one."""
    step = (last - first) / size
    reach = max(step, 1)
    result = []
    for pixel in range(size):
        centre = first + (pixel + 0.5) * step
        weights = np.maximum(0, 1 - np.abs(np.arange(len(line)) + 0.5 - centre) / reach)
        result.append(weights @ line / weights.sum())
    return np.array(result)


@pytest.mark.parametrize("box", [(0.1, 0.25, 0.85, 0.75), (0, 0, 1, 1), (0.4, 0.3, 0.6, 0.5)])
def test_what_is_cut_out_is_scaled_with_antialiasing(box):
    picture = np.random.default_rng(1).uniform(size=(40, 40, 1)).astype(np.float32)
    top, left, bottom, right = 40 * np.array(box)
    rows = np.stack([resampled(column, top, bottom, 20) for column in picture[..., 0].T], axis=1)
    expected = np.stack([resampled(row, left, right, 20) for row in rows])
    result = thorax.cut_out(tf.constant(picture), tf.constant(box, tf.float32), 20).numpy()
    np.testing.assert_allclose(result[..., 0], expected, atol=1e-4)
