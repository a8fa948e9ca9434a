"""What became of each image."""

from __future__ import annotations

from dataclasses import dataclass

from cxr.data.ingest.rows import Row
from cxr.data.ingest.staged import Entry


@dataclass(slots=True)
class Outcome:
    """What became of one image: its content hash, or the reason why it is left out.

    Attributes:
      number: Of the row.
      patient: Pseudonym.
      content_hash: SHA-256 (hex) of size and pixels, as in the record.
      file_hash: SHA-256 (hex) of the file, empty where it could not be read.
    """

    number: int
    label: str
    patient: str
    content_hash: str = ""
    file_hash: str = ""
    reason: str = ""
    detail: str = ""

    @classmethod
    def of(cls, row: Row, entry: Entry, refused: tuple[str, str] | None = None) -> Outcome:
        """Takes a row whose patient is a pseudonym already, and reason and detail where its mask cannot be used."""
        reason, detail = refused or (entry.reason, entry.detail)
        return cls(row.number, row.label, row.patient, "" if refused else entry.content_hash, entry.file_hash, reason, detail)
