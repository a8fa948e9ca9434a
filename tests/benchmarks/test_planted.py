"""What the benchmark plants, and that its table says what the audit finds."""

import sys

import numpy as np
import planted
import pytest

CHANGES = planted.CHANGES
MAY_CHANGE_NOTHING = {"nothing", "128 grey levels"}


@pytest.fixture(scope="module")
def picture():
    return planted.draw(7, planted.features.NORMAL, 96).image


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_leaves_an_8_bit_picture_and_the_one_it_was_made_of(picture, name):
    before = picture.copy()
    changed = CHANGES[name](picture)
    assert changed.dtype == np.uint8
    assert (changed.shape == picture.shape) is (name not in planted.SIZES)
    np.testing.assert_array_equal(picture, before)
    if name not in MAY_CHANGE_NOTHING:
        assert not np.array_equal(changed, picture)


def test_a_wide_picture_is_lettered_as_a_square_one_is(picture):
    wide = np.hstack([picture, picture[:, :20]])
    changed = CHANGES["letter in a corner, 9 %"](wide)
    assert changed.shape == wide.shape
    assert set(np.flatnonzero((changed != wide).any(axis=0))) <= set(range(20))


@pytest.mark.seconds
def test_the_table_says_which_shortcut_tells_what(monkeypatch, capsys):
    monkeypatch.setattr(planted, "SIDE", 64)
    monkeypatch.setattr(
        sys, "argv", ["planted.py", "--count", "60", "--only", "white mark on an edge, 10", "--shortcuts", "edges,brightness"]
    )
    planted.main()
    head, line = capsys.readouterr().out.splitlines()
    assert head == "synthetic: 60 pictures of 60 patients"
    assert line.startswith("white mark on an edge, 10 × 4 % | 3 | clear | edges ")
    assert line.endswith("| edges")
