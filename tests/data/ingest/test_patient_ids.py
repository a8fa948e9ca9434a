import pytest

from cxr.data.ingest import patient_ids
from cxr.data.ingest.rows import Row


def rows_of(*patients):
    return [Row(folder="/x", name=f"{k}.png", place="line", position=k, label="normal", patient=one) for k, one in enumerate(patients)]


@pytest.mark.parametrize("other", ["p12", "P 12", "P\u00a012", "P12\t"])
def test_ids_that_differ_in_case_or_blanks_are_counted_and_not_named(other):
    (note,) = patient_ids.notes(rows_of("P12", other, "P12", other, "P13"))
    assert note.startswith("2 patient ids equal others but for case, blanks")
    assert "12" not in note


def test_spellings_of_one_number_are_counted():
    """A spreadsheet takes the zeros away, pandas adds a .0 where one cell of the column is empty."""
    (note,) = patient_ids.notes(rows_of("0079", "079", "79", "79.0", "790", "79.5", "P079", "P79", "0", "00"))
    assert note.startswith("6 patient ids equal others")  # those of 79, and of 0
    assert "79" not in note


@pytest.mark.parametrize("word", ["nan", "None", "N/A", "#N/A", "unknown", "<NA>", "-", "??", "ANONYMOUS", "de-identified"])
def test_a_word_for_no_id_that_several_images_share_is_told(word):
    (note,) = patient_ids.notes(rows_of(word, "P12", word, word, "", ""))
    assert note.startswith("3 images have a patient id that looks like none")
    assert patient_ids.notes(rows_of(word, "P12", "Nancy", "Nancy", "Na-12", "Na-12")) == []  # of one image it changes nothing


def test_other_ids_and_images_without_one_are_none_to_warn_of():
    assert patient_ids.notes(rows_of("P12", "P12", "P-12", "P112", "", "")) == []
