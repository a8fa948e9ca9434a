import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from cxr.data.demo.fields import FADED, TUBE_REACH, TUBE_SIGMA, Canvas, Spots, curve, noise, shrunk, soft, tubes


@pytest.mark.parametrize("pixels", [64, 300])
def test_tubes_keep_their_volume_at_any_number_of_pixels(pixels):
    canvas = Canvas(pixels, 40.0, -5.0)
    points = curve([(-10, 2), (0, 8), (12, 20)], 0.05)
    for radius in (0.05, 0.5):
        drawn = tubes(canvas, points, np.full(len(points), radius), 0.05)
        assert drawn.sum() * canvas.pitch**2 == pytest.approx(np.pi * radius**2 * 0.05 * len(points), rel=0.01)


def test_what_leaves_the_canvas_is_left_out():
    canvas = Canvas(32, 10.0, 0.0)
    assert tubes(canvas, np.array([[50.0, 3.0], [0.0, -4.0]]), np.ones(2), 0.1).sum() == 0
    assert canvas.zeros()[canvas.rows(20, 30), canvas.columns(-40, -20)].size == 0


def test_noise_is_the_same_field_at_any_number_of_pixels():
    fine, coarse = (noise(np.random.default_rng(1), Canvas(pixels, 40.0, 0.0), 2.0) for pixels in (256, 64))
    np.testing.assert_allclose(fine.reshape(64, 4, 64, 4).mean((1, 3)), coarse, atol=0.1)
    assert fine.std() == pytest.approx(1, abs=0.15)


def test_noise_of_a_box_is_a_piece_of_the_whole():
    canvas, box = Canvas(200, 40.0, 0.0), (slice(30, 90), slice(110, 200))
    whole, piece = (noise(np.random.default_rng(1), canvas, 1.5, *asked) for asked in ((), (box,)))
    np.testing.assert_array_equal(whole[box], piece)


def test_tubes_are_drawn_as_on_the_whole_canvas():
    canvas, rng = Canvas(150, 30.0, 0.0), np.random.default_rng(2)
    points = rng.uniform([-5, -1], [17, 12], (400, 2))  # across two edges
    drawn = tubes(canvas, points, np.full(400, 0.5), 0.1)
    column, row = np.floor((points + [15, 0]) / canvas.pitch).astype(int).T
    inside = (column < 150) & (row >= 0)
    whole = np.zeros((150, 150), np.float64)
    np.add.at(whole, (row[inside], column[inside]), np.pi * 0.5**2 * 0.1 / canvas.pitch**2)
    np.testing.assert_array_equal(drawn, gaussian_filter(whole.astype(np.float32), TUBE_SIGMA * 0.5 / canvas.pitch, truncate=TUBE_REACH))


@pytest.mark.parametrize("edge", [0.06, 3.0])
def test_nothing_is_left_of_a_soft_edge_where_it_has_faded(edge):
    assert soft(np.array([0, FADED * edge, 50], np.float32), edge).tolist() == [0.5, 0, 0]


def test_shrunk_pictures_are_means():
    field = np.arange(49, dtype=np.float32).reshape(7, 7)
    np.testing.assert_array_equal(shrunk(field, 3), [[8, 11], [29, 32]])
    np.testing.assert_array_equal(shrunk(field, 1), field)


def test_spots_are_those_of_a_mask():
    box = slice(2, 5), slice(3, 7)
    chosen = np.zeros((3, 4), bool)
    chosen[0, 1] = chosen[2, 3] = True
    total, spots = np.zeros((8, 9)), Spots.where(chosen)
    spots.add(total, box, spots.of(np.arange(12.0).reshape(3, 4)))
    assert np.argwhere(total).tolist() == [[2, 4], [4, 6]]
    np.testing.assert_array_equal(total[box][chosen], [1, 11])
