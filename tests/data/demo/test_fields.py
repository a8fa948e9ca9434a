import numpy as np
import pytest

from cxr.data.demo.fields import Canvas, curve, noise, tubes


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
