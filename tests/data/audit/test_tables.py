import numpy as np
import pytest

from cxr.data.audit.regions import blacked_out, corners
from cxr.data.audit.tables import EDGE_CONTRAST, MEASURED, SIDE, STROKE, STROKE_CONTRAST, Example

FACTS = {"source": "clinic", "format": "png", "view": "PA", "sex": "F", "age_band": "40-64"}


def row(name, grey, height=480, width=320):
    return np.asarray(MEASURED[name].row(Example(FACTS, height, width, grey)))


@pytest.fixture
def grey():
    return np.random.default_rng(0).integers(1, 255, (SIDE, SIDE)).astype(np.uint8)


@pytest.mark.parametrize("shape", [(224, 224), (97, 130)])
def test_box_and_frame_make_up_the_picture(shape):
    grey = np.random.default_rng(0).integers(1, 255, shape).astype(np.uint8)
    framed, inner = blacked_out(grey, "centre"), blacked_out(grey, "border")
    np.testing.assert_array_equal(framed.astype(int) + inner, grey)
    assert not np.any((framed > 0) & (inner > 0))
    assert framed[shape[0] // 2, shape[1] // 2] == 0
    assert inner[0].max() == inner[:, -1].max() == 0
    assert 0.65 < np.mean(inner > 0) < 0.75


def test_the_border_sees_no_lung_and_the_centre_no_border(grey):
    changed = grey.copy()
    changed[80:120, 60:150] = 0
    np.testing.assert_array_equal(row("border", grey), row("border", changed))
    assert not np.array_equal(row("centre", grey), row("centre", changed))
    changed = grey.copy()
    changed[:10] = 255
    np.testing.assert_array_equal(row("centre", grey), row("centre", changed))
    assert not np.array_equal(row("border", grey), row("border", changed))


def test_corners_see_their_letters_alone(grey):
    assert {part.shape for part in corners(grey)} == {(34, 34)}
    changed = grey.copy()
    changed[40:-40] = 0
    np.testing.assert_array_equal(row("corners", grey), row("corners", changed))
    changed[-10:, -10:] = 255
    differs = np.flatnonzero(row("corners", grey) != row("corners", changed))
    assert differs.min() >= 3 * 64  # the fourth corner's


@pytest.mark.parametrize("shape", [(224, 224), (97, 130), (9, 12)])
def test_a_mark_is_seen_in_its_own_cell_and_a_shadow_in_none(shape):
    grey = np.full(shape, 100, np.uint8)
    grey[shape[0] // 2 :] = 200  # an edge is no stroke
    plain = row("marks", grey).reshape(16, 16)
    assert not plain.any()
    grey[shape[0] // 4, shape[1] // 4] = 255
    grey[0, 0] = 100 + STROKE_CONTRAST  # too faint
    seen = row("marks", grey).reshape(16, 16)
    assert seen[4, 4] == 155 - STROKE_CONTRAST
    if min(shape) >= 16:  # else a pixel is in more cells than one
        assert np.count_nonzero(seen) == 1


def test_only_what_is_thin_is_a_mark():
    grey = np.full((SIDE, SIDE), 100, np.uint8)
    grey[50 : 50 + STROKE - 1] = 255
    assert row("marks", grey).reshape(16, 16)[3].min() == 155 - STROKE_CONTRAST
    grey[50 : 50 + STROKE] = 255
    assert not row("marks", grey).any()


def test_a_sharp_edge_is_seen_in_its_own_cells_and_a_soft_one_in_none():
    grey = np.full((SIDE, SIDE), 100, np.uint8)
    grey[:, SIDE // 2 :] = 100 + EDGE_CONTRAST
    assert not row("edges", grey).any()  # not higher than anatomy's
    for level, height in ((255, 155), (0, 100)):  # wider than a stroke, and dark ones too
        marked = np.full((SIDE, SIDE), 100, np.uint8)
        marked[60:80, 60:80] = level
        seen = row("edges", marked).reshape(16, 16)
        assert seen.max() == height - EDGE_CONTRAST
        assert set(np.flatnonzero(seen.any(axis=1))) == set(np.flatnonzero(seen.any(axis=0))) == {4, 5}
    ramp = np.tile(np.linspace(0, 255, SIDE), (SIDE, 1)).astype(np.uint8)
    assert not row("edges", ramp).any()
    assert row("edges", np.zeros((1, 2), np.uint8)).shape == (256,)


def test_left_and_right_change_sign_in_the_mirror_and_see_neither_exposure_nor_borders(grey):
    plain = row("left_and_right", grey)
    assert plain.shape == (288,)
    assert np.mean(plain**2) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(row("left_and_right", grey[:, ::-1]), -plain, atol=1e-5)
    assert np.corrcoef(row("left_and_right", (grey // 2 + 100).astype(np.uint8)), plain)[0, 1] > 0.99
    framed = np.zeros_like(grey)
    assert not row("left_and_right", framed).any()
    framed[60:-60, 60:-60] = (grey[60:-60, 60:-60] // 2 + grey[60:-60, 60:-60][:, ::-1] // 2) // 2
    assert not row("left_and_right", framed).any()  # equal levels have no order


def test_the_grey_histogram_is_eighteen_numbers(grey):
    found = row("grey_histogram", grey)
    assert found.shape == (18,)
    assert found[:16].sum() == pytest.approx(1)
    np.testing.assert_allclose(found[:16], [np.mean(grey // 16 == k) for k in range(16)], rtol=1e-5)
    stripes = np.tile(np.array([[0, 100]], np.uint8), (SIDE, SIDE // 2))
    np.testing.assert_allclose(row("grey_histogram", stripes)[16:], [100, 0])


def test_size_is_that_of_the_stored_picture_and_words_are_facts(grey):
    assert row("size", grey).tolist() == [480, 320, pytest.approx(2 / 3)]
    assert row("sex_and_age", grey).tolist() == ["F", "40-64"]
    assert row("source", grey).tolist() == ["clinic"]
    np.testing.assert_allclose(row("brightness", grey), [grey.mean(), grey.std()], rtol=1e-6)
