from pathlib import Path

import pytest

from cxr.core.errors import UsageError
from cxr.data.ingest.where import Where


def where(asked, *columns):
    return Where(asked, Path("m.csv"), columns)


@pytest.mark.parametrize(
    ("column", "asked", "said", "other"),
    [
        ("view", "PA", ["PA", "pa", "Pa"], ["AP", "", "PA ERECT"]),
        ("view", "unknown", ["", "Unknown"], ["PA"]),
        ("sex", "F", ["F", "f", "female", "Female"], ["M", "", "X"]),
        ("sex", "female", ["F", "f"], ["male"]),
        ("age", "44", ["44", "044Y", "44.0"], ["44M", "", "old"]),
        ("subset", "main", ["main"], ["Main", "other", ""]),
        ("subset", " main", ["main"], []),  # cells come without blanks around them
        ("label", "normal", ["normal"], ["Normal"]),
    ],
)
def test_rows_are_compared_as_records_have_them(column, asked, said, other):
    """Rows that say `pa` were left out of view=PA without a word, though records have PA of them."""
    found = where({column: asked}, column)
    assert [text for text in (*said, *other) if found.takes({column: text})] == said
    assert found.left_out == len(other)


def test_columns_are_found_in_any_spelling_and_named_once():
    assert where({"Patient ID": "7", "Subset": "main"}, "patient_id", "Subset").takes({"patient_id": "7", "Subset": "main"})
    with pytest.raises(UsageError, match="where colour=red: m.csv has no such column; it has view"):
        where({"colour": "red"}, "view", "")
    with pytest.raises(UsageError, match="where View=AP: column 'view' is asked for twice"):
        where({"view": "PA", "View": "AP"}, "view")


def test_rows_that_differ_in_case_or_blanks_only_are_warned_of():
    found = where({"subset": "main set", "view": "PA"}, "subset", "view")
    for subset, view in (("main set", "pa"), ("Main  Set", "PA"), ("MAINSET", "pa"), ("MAINSET", "AP"), ("other", "PA")):
        found.takes({"subset": subset, "view": view})
    (note,) = found.notes()
    assert note.startswith("where subset=main set and view=PA: 2 rows that are left out differ from it in case or blanks only")
    assert found.left_out == 4
    other = where({"subset": "main"}, "subset")
    assert not other.takes({"subset": "other"})
    assert (other.notes(), other.hint()) == ([], "")
