import pytest

from cxr.data.images import frontal


@pytest.mark.parametrize("view", ["PA", "AP", "ap supine", "AP Erect"])
def test_the_same_views_are_frontal_for_a_header_a_collection_and_a_manifest(view):
    assert frontal.is_frontal(view)
    assert frontal.remark("ViewPosition", view) == ""
    assert not frontal.is_other_view(view.upper())


@pytest.mark.parametrize("view", ["LL", "LATERAL", "OBLIQUE"])
def test_the_same_views_are_others(view):
    assert not frontal.is_frontal(view)
    assert frontal.remark("ViewPosition", view) == f"ViewPosition is {view}, not AP or PA"
    assert frontal.is_other_view(view)


def test_of_a_word_that_nobody_knows_little_is_said():
    assert frontal.remark("ViewPosition", "DOE JANE") == "ViewPosition is not AP or PA"
    assert not frontal.is_other_view("DOE JANE")
    assert not frontal.is_frontal("DOE JANE")


@pytest.mark.parametrize("tag", frontal.HEADER)
def test_a_header_that_says_what_is_expected_is_no_remark(tag):
    for term in frontal.HEADER[tag].expected:
        assert frontal.remark(tag, f"{term} \0") == ""
    assert frontal.remark(tag, " \0") == ""
    assert not set(frontal.HEADER[tag].expected) & set(frontal.HEADER[tag].others.split())
