"""Patient ids that are likely wrong.

An id is any text: two spellings of one are two patients, who may be dealt to two splits, and a word for 'not known' is a patient.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Container, Iterable

from cxr.core.counts import how_many
from cxr.data.ingest.rows import Row

# What scripts, spreadsheets, anonymisers and people write where they know none: letters and digits only, in lower case.
_NO_IDS = {
    "", "anon", "anonym", "anonyme", "anonymised", "anonymized", "anonymous", "deidentified", "desconhecido", "desconocido", "dummy",
    "id", "inconnu", "inconnue", "missing", "na", "nan", "nil", "noid", "none", "notapplicable", "notavailable", "notgiven", "notknown",
    "notrecorded", "notstated", "null", "onbekend", "patient", "patientid", "phantom", "removed", "sconosciuto", "tbd", "test",
    "testpatient", "ukjent", "unbekannt", "unidentified", "unk", "unknown"
}  # fmt: skip
_NINES = re.compile(r"9{3,12}")
_CROSSES = re.compile(r"x{3,}")
_SHEET_ERROR = re.compile(r"#\W?\w[\w/]*[!?]|#NV")  # #REF!, #NAME?, #DIV/0!, in any language; #N/A is among the words
_NUMBER = re.compile(r"0*(\d+?)(?:\.0+)?")  # 007 and 7.0 are what a spreadsheet and pandas make of 7, or 7 of them
# 201912345678 as a spreadsheet or pandas writes a number of many digits. An id such as 1E5 or 1E+5 is a scheme's own: the exponent always
# has two digits there, and a sign; and ward 1E-05 may be one, where 1.00E-05 is not.
_SHORTENED = re.compile(r"\d(?:[.,]\d+)?e\+\d{2,3}|\d[.,]\d+e-\d{2,3}", re.IGNORECASE)
_SHEET_DIGITS = 15  # that a spreadsheet keeps of a number; it writes zeros in place of the others
_APART = 30  # years between a patient's images; archives of pictures are hardly older
_FEW = 3  # ids that may well end in zeros


def notes(rows: Iterable[Row]) -> list[str]:
    """Returns what a user is warned of: how many ids are likely others' or nobody's, and what to do. It names none of them.

    Args:
      rows: With raw patient ids, as the source states them.
    """
    stated = [row for row in rows if row.patient]
    images = Counter(row.patient for row in stated)
    spellings: dict[str, set[str]] = defaultdict(set)
    for patient in images:
        spellings[_plain(patient)].add(patient)
    found = []
    if count := sum(images[patient] for patient in rounded(images)):
        found.append(
            f"{how_many(count, 'image has', 'images have')} a patient id that looks rounded by a spreadsheet or a script (as 2.01912E+11, "
            f"or with zeros from the {_SHEET_DIGITS + 1}th digit on): different patients may share it, and count as one; take the ids from "
            "where they were first written, with the column as text"
        )
    if torn := _of_several(stated):
        found.append(
            f"{how_many(torn, 'patient id has', 'patient ids have')} images of both sexes, or of ages more than {_APART} years apart: "
            "different patients may share it, and count as one; correct the ids, or sex and age"
        )
    if alike := sum(len(ids) for ids in spellings.values() if len(ids) > 1):
        found.append(
            f"{alike} patient ids equal others but for case, blanks, leading zeros or a '.0' at the end, and count as different patients; "
            "if they are the same, write each patient's id in one way (a manifest's column patient_id)"
        )
    if shared := {patient: count for patient, count in images.items() if count > 1 and _says_none(patient, spellings)}:
        found.append(
            f"{sum(shared.values())} images have a patient id that looks like none (as 'nan', 'unknown', 'TEST', '0', '-'); those of one "
            "such id count as one patient's; leave the id empty where it is not known, and each image is a patient of its own"
        )
    return found


def rounded(patients: Collection[str]) -> list[str]:
    """Returns the ids that are no longer what they were: numbers too long for what wrote them.

    Args:
      patients: Raw ids; those of one source, as one of many that ends in zeros is none.
    """
    shortened = [patient for patient in patients if _SHORTENED.fullmatch(patient)]
    long = [patient for patient in patients if len(patient) > _SHEET_DIGITS and patient.isdecimal() and patient[0] != "0"]
    zeros = long if len(long) >= _FEW and all(not patient[_SHEET_DIGITS:].strip("0") for patient in long) else []
    return shortened + zeros


def without_id(images: int, of: str = "") -> str:
    """Returns what is said of images whose patient nobody states.

    Args:
      images: How many.
      of: What they are among (" of …"), where that is more than what is spoken of.
    """
    return f"{how_many(images, 'image')}{of} without a patient id: each counts as a patient of its own"


def _of_several(rows: Iterable[Row]) -> int:
    """Returns how many ids have images that one person cannot have."""
    sexes, torn = dict[str, str](), set[str]()
    ages: dict[str, tuple[float, float]] = {}
    for row in rows:
        if row.sex in ("M", "F") and sexes.setdefault(row.patient, row.sex) != row.sex:
            torn.add(row.patient)
        if row.age is not None:
            least, most = ages.get(row.patient, (row.age, row.age))
            ages[row.patient] = least, most = min(least, row.age), max(most, row.age)
            if most - least > _APART:
                torn.add(row.patient)
    return len(torn)


def _plain(patient: str) -> str:
    """Returns what the spellings of one id have in common."""
    text = "".join(patient.split()).casefold()
    number = _NUMBER.fullmatch(text)
    return number[1] if number else text


def _says_none(patient: str, known: Container[str]) -> bool:
    """Tells whether an id is a word or a code for none.

    Args:
      patient: The id.
      known: All ids of the source, plain. Who numbers patients has a 0 beside a 1, and a 999 beside a 998.
    """
    text = "".join(letter for letter in patient.casefold() if letter.isalnum())
    if text in _NO_IDS or _CROSSES.fullmatch(text) or _SHEET_ERROR.fullmatch(patient):
        return True
    plain = _plain(patient)
    if plain == "0":
        return "1" not in known
    if _NINES.fullmatch(plain):
        return str(int(plain) - 1) not in known and str(int(plain) + 1) not in known
    return plain in ("-1", "-1.0")
