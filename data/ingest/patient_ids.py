"""Patient ids that are likely wrong.

An id is any text: two spellings of one are two patients, who may be dealt to two splits, and a word for 'not known' is a patient.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable

from cxr.core.counts import how_many
from cxr.data.ingest.rows import Row

# What scripts, spreadsheets and anonymisers write where they know none: letters and digits only, in lower case.
_NO_IDS = {
    "", "anon", "anonymised", "anonymized", "anonymous", "deidentified", "na", "nan", "nil", "none", "null", "removed", "unk", "unknown"
}  # fmt: skip
_NUMBER = re.compile(r"0*(\d+?)(?:\.0+)?")  # 007 and 7.0 are what a spreadsheet and pandas make of 7, or 7 of them


def notes(rows: Iterable[Row]) -> list[str]:
    """Returns what a user is warned of: how many ids are likely others' or nobody's, and what to do. It names none of them.

    Args:
      rows: With raw patient ids, as the source states them.
    """
    images = Counter(row.patient for row in rows if row.patient)
    spellings: dict[str, set[str]] = defaultdict(set)
    for patient in images:
        spellings[_plain(patient)].add(patient)
    found = []
    if alike := sum(len(ids) for ids in spellings.values() if len(ids) > 1):
        found.append(
            f"{alike} patient ids equal others but for case, blanks, leading zeros or a '.0' at the end, and count as different patients; "
            "if they are the same, write each patient's id in one way (a manifest's column patient_id)"
        )
    if shared := {patient: count for patient, count in images.items() if count > 1 and _says_none(patient)}:
        found.append(
            f"{sum(shared.values())} images have a patient id that looks like none (as 'nan', 'unknown', 'anonymous', '-'); those of one "
            "such id count as one patient's; leave the id empty where it is not known, and each image is a patient of its own"
        )
    return found


def without_id(images: int, of: str = "") -> str:
    """Returns what is said of images whose patient nobody states.

    Args:
      images: How many.
      of: What they are among (" of …"), where that is more than what is spoken of.
    """
    return f"{how_many(images, 'image')}{of} without a patient id: each counts as a patient of its own"


def _plain(patient: str) -> str:
    """Returns what the spellings of one id have in common."""
    text = "".join(patient.split()).casefold()
    number = _NUMBER.fullmatch(text)
    return number[1] if number else text


def _says_none(patient: str) -> bool:
    return "".join(letter for letter in patient.casefold() if letter.isalnum()) in _NO_IDS
