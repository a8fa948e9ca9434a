"""What became of each image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cxr.data.images.frontal import is_other_view
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
      against: What speaks against a frontal chest X-ray: the header of a DICOM file, the picture's levels and sides, or the source's view.
    """

    number: int
    label: str
    patient: str
    content_hash: str = ""
    file_hash: str = ""
    reason: str = ""
    detail: str = ""
    against: str = ""

    @classmethod
    def of(cls, row: Row, entry: Entry, refused: tuple[str, str] | None = None) -> Outcome:
        """Takes a row whose patient is a pseudonym already, and reason and detail where its mask cannot be used."""
        reason, detail = refused or (entry.reason, entry.detail)
        against = entry.against or (f"view is {row.view}" if is_other_view(row.view) else "")
        return cls(row.number, row.label, row.patient, "" if refused else entry.content_hash, entry.file_hash, reason, detail, against)


@dataclass(frozen=True)
class Outcomes:
    """What became of all images: each is made when it is asked for, since most are looked at once.

    Attributes:
      rows: Dealt to splits; their patients are pseudonyms.
      entry_of: What became of a row's picture.
      refused: By number of a row: reason and detail where its mask cannot be used.
    """

    rows: Sequence[Row]
    entry_of: Callable[[Row], Entry]
    refused: Mapping[int, tuple[str, str]]

    def __iter__(self) -> Iterator[tuple[str, Outcome]]:
        """Yields split and outcome of each row."""
        return ((row.split, Outcome.of(row, self.entry_of(row), self.refused.get(row.number))) for row in self.rows)
