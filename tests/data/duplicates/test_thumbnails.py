import numpy as np

from cxr.data.duplicates.thumbnails import thumbnail


def picture(height=120, width=100):
    return np.random.default_rng(0).integers(60, 200, (height, width)).astype(np.uint8)


def test_borders_do_not_count():
    bare = picture()
    framed = np.pad(bare, ((30, 10), (0, 25)), constant_values=0)
    assert np.abs(thumbnail(framed).astype(int) - thumbnail(bare)[...]).mean() < 25  # noise: moved by a pixel or two at most
    assert thumbnail(framed).min() > 40


def test_a_dark_picture_is_no_border():
    dark = np.full((100, 100), 3, np.uint8)
    dark[50:60, 50:60] = 250
    found = thumbnail(dark)
    assert (found < 10).mean() > 0.8
