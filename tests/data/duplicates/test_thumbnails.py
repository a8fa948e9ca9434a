import numpy as np
from PIL import Image

from cxr.data.duplicates.thumbnails import SIDE, read_thumbnails, thumbnail


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


def test_unusable_files_are_black(tmp_path):
    Image.fromarray(picture()).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    done: list[int] = []
    found = read_thumbnails([str(tmp_path / name) for name in ("a.png", "b.png", "missing.png")], 10**6, 2, done.append)
    assert found.shape == (3, SIDE, SIDE)
    assert [bool(one.any()) for one in found] == [True, False, False]
    assert sum(done) == 3
    assert not read_thumbnails([str(tmp_path / "a.png")], 100, 1).any()  # more pixels than allowed
