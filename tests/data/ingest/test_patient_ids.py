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


@pytest.mark.parametrize(
    "word",
    [
        *("nan", "None", "N/A", "#N/A", "unknown", "<NA>", "-", "??", "ANONYMOUS", "de-identified"),
        *("#REF!", "#NAME?", "#DIV/0!", "#BEZUG!", "#NV", "not available", "Not known", "TEST", "xxx", "XXXXX", "unbekannt"),
        *("0", "000", "0.0", "-1", "999", "99999999"),
    ],
)
def test_a_word_for_no_id_that_several_images_share_is_told(word):
    (note,) = patient_ids.notes(rows_of(word, "P12", word, word, "", ""))
    assert note.startswith("3 images have a patient id that looks like none")
    assert patient_ids.notes(rows_of(word, "P12", "Nancy", "Nancy", "Na-12", "Na-12")) == []  # of one image it changes nothing


def test_other_ids_and_images_without_one_are_none_to_warn_of():
    assert patient_ids.notes(rows_of("P12", "P12", "P-12", "P112", "", "")) == []


def test_numbers_of_a_list_are_no_codes_for_none():
    """Scripts number from 0, and some list has a patient 999."""
    assert patient_ids.notes(rows_of("0", "0", "1", "2", "998", "999", "999", "99", "99", "-10", "-10")) == []
    assert patient_ids.notes(rows_of("9" * 5000, "9" * 5000)) == []  # no number that Python would read


@pytest.mark.parametrize("shape", ["2.01912E+11", "2,01912E+11", "2E+11", "2.0191234567890128e+17", "1.00E+05", "1.00E-05"])
def test_ids_that_a_spreadsheet_rounded_are_told(shape):
    (note,) = patient_ids.notes(rows_of(shape, shape, "P12", "P13"))
    assert note.startswith("2 images have a patient id that looks rounded by a spreadsheet or a script (as 2.01912E+11")
    assert shape not in note.replace("2.01912E+11", "")


def test_ids_of_several_persons_are_told():
    """Whatever the id says: no list of words has them all."""
    rows = rows_of("P1", "P1", "P2", "P2", "P3", "P3", "P4", "P4", "", "")
    for row, sex, age in zip(rows, "MFMMFOFFMF", (50, 51, 20, 51, 20, 50, None, 70, 1, 99), strict=True):
        row.sex, row.age = sex, age
    (note,) = patient_ids.notes(rows)
    assert note.startswith("2 patient ids have images of both sexes, or of ages more than 30 years apart")  # P1, P2
    rows[1].sex, rows[2].age = "M", 21
    assert patient_ids.notes(rows) == []


def test_long_numbers_that_all_end_in_zeros_are_told():
    """A spreadsheet keeps fifteen digits of a number."""
    (note,) = patient_ids.notes(rows_of("201912345678901000", "201912345678902000", "201912345678903000", "201912345678903000", "P1"))
    assert note.startswith("4 images have a patient id that looks rounded")
    assert patient_ids.notes(rows_of("201912345678901000", "201912345678902000", "201912345678903004")) == []
    assert patient_ids.notes(rows_of("201912345678901000", "201912345678902000")) == []  # of two it may be chance
    assert patient_ids.notes(rows_of("200000000000000", "300000000000000", "400000000000000")) == []  # as long as it can be


@pytest.mark.parametrize("scheme", ["1E5", "1E05", "1E+5", "1E-05", "12E+11", "E+11", "2.01912", "1.2.840.10008.1", "A2E+11"])
def test_ids_of_a_scheme_with_an_e_are_none_to_warn_of(scheme):
    assert patient_ids.notes(rows_of(scheme, scheme, "2F5")) == []
