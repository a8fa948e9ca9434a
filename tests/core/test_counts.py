"""Words of messages that count."""

import pytest

from cxr.core.counts import agreeing, how_many


@pytest.mark.parametrize(
    ("number", "words", "expected"),
    [
        (1, ("image",), "1 image"),
        (2, ("image",), "2 images"),
        (0, ("image",), "0 images"),
        (1, ("copy is", "copies are"), "1 copy is"),
        (0, ("copy is", "copies are"), "0 copies are"),
    ],
)
def test_a_number_has_the_words_that_go_with_it(number, words, expected):
    assert how_many(number, *words) == expected


def test_a_verb_agrees_with_a_number_that_stands_elsewhere():
    assert [agreeing(number, "is", "are") for number in (0, 1, 2)] == ["are", "is", "are"]
