import pytest

from cxr.data.ingest import patient_ids
from cxr.data.ingest.rows import Row


def rows_of(*patients):
    return [Row(folder="/x", name=f"{k}.png", place="line", position=k, label="normal", patient=one) for k, one in enumerate(patients)]


@pytest.mark.parametrize("other", ["p12", "P 12", "P\u00a012", "P12\t"])
def test_ids_that_differ_in_case_or_blanks_are_counted_and_not_named(other):
    (note,) = patient_ids.notes(rows_of("P12", other, "P12", other, "P13"))
    assert note.startswith("2 patient ids equal others but for case or blanks")
    assert "12" not in note


def test_other_ids_and_images_without_one_are_none_to_warn_of():
    assert patient_ids.notes(rows_of("P12", "P12", "P-12", "P112", "", "")) == []
