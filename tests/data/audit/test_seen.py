import numpy as np
import pytest

from cxr.core.stored_rows import RowWriter
from cxr.data.audit import seen
from cxr.data.audit.seen import Seen


def stored(rows):
    writer = RowWriter(np.float32)
    for row in rows:
        writer.append(row)
    return writer.rows()


@pytest.fixture
def both():
    words = np.array([["a", "b"], ["a", "b"], ["ab", ""], ["a", "b"]], object)
    return Seen([stored([[0.0], [-0.0], [0.0], [1.0]]), np.ones((4, 2), np.float32)], [words])


def test_tables_stand_side_by_side_and_images_are_chosen_of_all(both):
    assert (len(both), both.columns) == (4, 5)
    some = both[np.array([3, 0])]
    np.testing.assert_array_equal(some.read_numbers(), [[1, 1, 1], [0, 1, 1]])
    assert some.read_words().tolist() == [["a", "b"], ["a", "b"]]


def test_equal_images_count_once_in_any_batch(both, monkeypatch):
    assert both.different() == 3  # -0 is 0
    monkeypatch.setattr(seen, "AT_ONCE", 1)
    assert both.different() == 3
    assert Seen([both.numbers[1]], []).different() == 1
    assert Seen([], both.words).different() == 2
