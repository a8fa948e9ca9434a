import numpy as np
import tensorflow as tf

from cxr.trainer import burnt_in
from cxr.trainer.burnt_in import FARTHEST, HEIGHTS

SIZE = 48
RAMP = np.repeat(np.linspace(0.3, 0.7, SIZE * SIZE).reshape(SIZE, SIZE, 1), 3, axis=2).astype(np.float32)


def results(change, amount, count):
    applied = tf.function(lambda seed: change(tf.constant(RAMP), amount, seed), autograph=False)
    return [applied(tf.constant([5, number], tf.int64)).numpy() for number in range(count)]


def widths_of(number, most):
    return tf.random.stateless_uniform([4], tf.constant([5, number], tf.int64), 0.0, most).numpy()


def test_frames_are_as_wide_as_drawn_black_or_white_or_cut_off():
    kinds = {"black": 0, "white": 0, "cut": 0}
    for number, result in enumerate(results(burnt_in.border, 0.2, 30)):
        top, left, bottom, right = widths_of(number, 0.2)
        assert max(top, left, bottom, right) <= 0.2
        centres = (np.arange(SIZE) + 0.5) / SIZE
        inside = np.outer((centres >= top) & (centres < 1 - bottom), (centres >= left) & (centres < 1 - right))
        for name, level in (("black", 0), ("white", 1)):
            if np.array_equal(result, np.where(inside[..., None], RAMP, level)):
                kinds[name] += 1
                break
        else:  # the ramp is linear, and so is what is left of it when it is cut and scaled
            kinds["cut"] += 1
            low, high = 0.4 * top + 0.3, 0.7 - 0.4 * bottom
            np.testing.assert_allclose([result[0].mean(), result[-1].mean()], [low, high], atol=0.02)
            assert 0.3 <= result.min() <= result.max() <= 0.7 + 1e-5
    assert min(kinds.values()) >= 3


def test_markers_stand_in_the_corners_as_often_as_asked():
    reach = int(np.ceil(SIZE * (HEIGHTS[1] * 2 + FARTHEST))) + 1  # a marker is twice as wide as high
    put = []
    for result in results(burnt_in.marker, 0.5, 40):
        changed = np.abs(result - RAMP).max(axis=2) > 0.02
        corners = changed[:reach, :reach], changed[:reach, -reach:], changed[-reach:, :reach], changed[-reach:, -reach:]
        put.append([corner.any() for corner in corners])
        assert sum(corner.sum() for corner in corners) == changed.sum()
        assert 0 <= result.min() <= result.max() <= 1
        np.testing.assert_array_equal(result[..., 0], result[..., 2])
    shares = np.mean(put, axis=0)
    assert (shares > 0.25).all()
    assert (shares < 0.75).all()
    np.testing.assert_array_equal(results(burnt_in.marker, 1e-9, 1)[0], RAMP)


def test_stamps_are_a_rectangle_and_legible_letters():
    rectangle, *letters = burnt_in._stamps()
    assert rectangle.min() == 1
    for stamp in letters:
        assert 0.03 < stamp.mean() < 0.6
        assert stamp.max() > 0.9
    assert len({stamp.tobytes() for stamp in letters}) == len(burnt_in.TEXTS)
