import csv
import errno
import os

import numpy as np
import pytest
from killed import killed_at
from PIL import Image

from cxr.data.images.overlays import TABLE, Explanation, UnwrittenError, list_overlays, overlay, save_overlay


def test_cold_regions_show_the_radiograph_and_hot_ones_the_colour():
    grey = np.full((20, 20), 100, np.uint8)
    heat = np.zeros((2, 2), np.float32)
    heat[1, 1] = 1
    drawn = np.asarray(overlay(grey, heat, "normal"))
    np.testing.assert_allclose(drawn[0, 0], [100, 100, 100], atol=2)  # bicubic edges leave a trace
    assert drawn[19, 19, 0] > drawn[19, 19, 2]  # red


def test_what_the_model_did_not_see_has_no_colour():
    grey = np.full((20, 40), 100, np.uint8)
    drawn = np.asarray(overlay(grey, np.ones((2, 2), np.float32), "normal", (0.1, 0.1, 0.9, 0.9))).astype(int)
    coloured = np.abs(drawn - 100).max(axis=2) > 20
    assert coloured[2:18, 4:36].all()
    coloured[2:18, 4:36] = False
    assert not coloured.any()


def test_an_empty_map_is_said_in_words_on_the_picture():
    grey = np.full((120, 160), 100, np.uint8)
    drawn = np.asarray(overlay(grey, np.zeros((4, 4), np.float32), "pneumonia"))
    assert drawn.shape == (120, 160, 3)
    np.testing.assert_array_equal(drawn[:100], 100)
    below = drawn[112:]
    assert (below.min(), below.max() > 200) == (0, True)  # white on black
    other = np.asarray(overlay(grey, np.zeros((4, 4), np.float32), "normal"))
    assert (other != drawn).any()  # it names the class
    assert np.asarray(overlay(np.zeros((16, 16), np.uint8), np.zeros((4, 4), np.float32), "normal")).shape == (16, 16, 3)


def test_a_picture_that_the_model_does_not_know_is_said_to_be_one():
    grey, heat = np.full((120, 160), 100, np.uint8), np.ones((4, 4), np.float32)
    plain, unknown = (np.asarray(overlay(grey, heat, "normal", outside=flag)) for flag in (False, True))
    np.testing.assert_array_equal(unknown[:100], plain[:100])
    assert (unknown[112:].min(), unknown[112:].max() > 200) == (0, True)  # white on black
    np.testing.assert_array_equal(np.asarray(overlay(grey, heat, "normal")), plain)
    empty = [np.asarray(overlay(grey, np.zeros_like(heat), "normal", outside=flag)) for flag in (False, True)]
    assert (empty[0] != empty[1]).any()


def test_no_overlay_replaces_another(tmp_path):
    names = [save_overlay(Image.new("RGB", (4, 4)), tmp_path, tmp_path / "x.dcm", "one", "normal", 0.5) for _ in range(2)]
    assert names == ["x_one_normal_0.50.png", "x_one_normal_0.50_2.png"]
    assert sorted(names) == sorted(file.name for file in tmp_path.iterdir())


def test_a_model_that_names_itself_or_a_class_like_a_path_leads_nowhere(tmp_path):
    name = save_overlay(Image.new("RGB", (4, 4)), tmp_path, tmp_path / "x.png", "../m", "/../../normal", 0.5)
    assert name == "x_..-m_-..-..-normal_0.50.png"
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_the_table_holds_no_formula(tmp_path):
    row = Explanation("=HYPERLINK(1).png", "m", "normal", "@normal", 0.5, False, "-x.png")
    assert list(list_overlays(tmp_path, [row])) == [f"1 overlay in {tmp_path}, listed in {TABLE}"]
    with (tmp_path / TABLE).open(newline="") as stream:
        assert list(csv.reader(stream))[1] == ["'=HYPERLINK(1).png", "m", "normal", "'@normal", "0.5", "False", "'-x.png", "", "", ""]


def test_a_call_that_makes_none_leaves_the_list_of_earlier_ones(tmp_path):
    row = Explanation("x.png", "m", "normal", "normal", 0.5, False, "x_m.png")
    list(list_overlays(tmp_path, [row]))
    before = (tmp_path / TABLE).read_text()
    assert list(list_overlays(tmp_path, [])) == []
    assert (tmp_path / TABLE).read_text() == before


@pytest.mark.seconds
def test_a_kill_at_any_moment_leaves_whole_overlays_only_and_the_next_call_clears_up(tmp_path):
    picture, step = Image.effect_noise((64, 64), 50).convert("RGB"), 0
    while killed_at(step, lambda: save_overlay(picture, tmp_path, tmp_path / "x.dcm", "one", "normal", 0.5)):
        for file in tmp_path.glob("x*"):
            with Image.open(file) as whole:
                assert whole.tobytes() == picture.tobytes()
            file.unlink()
        step += 1
    assert step > 5  # of its bytes, too
    assert len(left := list(tmp_path.glob(".x*"))) > 1
    for file in left:
        os.utime(file, (0, 0))
    list(list_overlays(tmp_path, [Explanation("x.dcm", "one", "normal", "normal", 0.5, empty=False, overlay="x_one_normal_0.50.png")]))
    assert sorted(os.listdir(tmp_path)) == sorted([TABLE, "x_one_normal_0.50.png"])


def test_a_name_may_be_as_long_as_before_and_no_room_leaves_nothing(tmp_path, monkeypatch):
    image = tmp_path / f"{'x' * 200}.png"
    name = save_overlay(Image.new("RGB", (4, 4)), tmp_path, image, "one", "normal", 0.5)
    assert os.listdir(tmp_path) == [name]

    def no_room(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(UnwrittenError, match=f"^{tmp_path}: No space left on device; make room there") as error:
        save_overlay(Image.new("RGB", (4, 4)), tmp_path, image, "two", "normal", 0.5)
    assert "xxx" not in str(error.value)
    assert os.listdir(tmp_path) == [name]
    with pytest.raises(OSError, match="name too long"):  # of this image alone
        save_overlay(Image.new("RGB", (4, 4)), tmp_path, tmp_path / f"{'x' * 240}.png", "one", "normal", 0.5)
    with pytest.raises(UnwrittenError, match=r"gone: no overlay can be written \(No such file or directory\); name another folder"):
        save_overlay(Image.new("RGB", (4, 4)), tmp_path / "gone", image, "one", "normal", 0.5)


def test_a_kill_at_any_moment_leaves_the_list_of_earlier_overlays_or_the_new_one(tmp_path):
    row = Explanation("x.png", "one", "normal", "normal", 0.5, empty=False, overlay="x.png")
    list(list_overlays(tmp_path, [row]))
    before, seen, step = (tmp_path / TABLE).read_bytes(), [], 0
    while killed_at(step, lambda: list(list_overlays(tmp_path, [row, row]))):
        seen.append((tmp_path / TABLE).read_bytes())
        (tmp_path / TABLE).write_bytes(before)
        step += 1
    assert set(seen) == {before, (tmp_path / TABLE).read_bytes()}


GREY, HEAT = np.zeros((8, 8), np.uint8), np.zeros((2, 2), np.float32)


@pytest.mark.parametrize(
    ("grey", "heat", "said"),
    [
        (GREY / 255, HEAT, r"radiograph must be uint8 \[height, width\], not float64 \[8, 8\]"),
        (GREY[..., np.newaxis].repeat(3, axis=2), HEAT, r"radiograph .* not uint8 \[8, 8, 3\]"),
        (GREY[:0], HEAT, "radiograph"),
        (GREY, (HEAT * 255).astype(np.uint8), r"heat map must be finite floats \[rows, columns\], not uint8 \[2, 2\]"),
        (GREY, HEAT[np.newaxis], r"heat map .* not float32 \[1, 2, 2\]"),
        (GREY, HEAT * np.nan, "finite"),
        (GREY, HEAT[:0], "heat map"),
    ],
)
def test_arrays_of_another_kind_are_refused(grey, heat, said):
    with pytest.raises(ValueError, match=said):
        overlay(grey, heat, "normal")
