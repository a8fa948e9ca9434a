"""Patient ids that are likely the same: an id is any text, so two spellings of one are two patients, who may be dealt to two splits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from cxr.data.ingest.rows import Row


def notes(rows: Iterable[Row]) -> list[str]:
    """Returns what a user is warned of: how many ids equal others but for case or blanks, and what to do. It names none of them.

    Args:
      rows: With raw patient ids, as the source states them.
    """
    spellings: dict[str, set[str]] = defaultdict(set)
    for patient in {row.patient for row in rows if row.patient}:
        spellings["".join(patient.split()).casefold()].add(patient)
    alike = sum(len(ids) for ids in spellings.values() if len(ids) > 1)
    if not alike:
        return []
    return [
        f"{alike} patient ids equal others but for case or blanks, and count as different patients; if they are the same, write each "
        "patient's id in one way (a manifest's column patient_id)"
    ]
