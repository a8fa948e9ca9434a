"""One image of a source, before it is read."""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

from cxr.core import features
from cxr.core.errors import CxrError

SEXES = {
    "m": "M",
    "male": "M",
    "f": "F",
    "female": "F",
    "o": "O",
    "other": "O",
    "": features.UNKNOWN,
    "u": features.UNKNOWN,
    "unknown": features.UNKNOWN,
}
YEARS_PER_UNIT = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}  # DICOM's age strings: 054Y, 006M
PATIENT = "patient:"  # begins a unit that is a patient
MAX_AGE = 120  # years; pipeline/schema.pbtxt says the same


@dataclass(slots=True)
class Row:
    """What the source says about one image. A million of them must fit into memory: what many share is one text.

    Attributes:
      folder: Absolute; `name` is relative to it.
      name: As the source names it; the image's own identity. No message shows it: it may name a patient.
      place: Where it is listed, for messages: "manifest.csv line", or "normal file" in the order of a folder's paths.
      position: Its number there.
      patient: Raw patient id; empty where the source gives none (`unit` then stands in). Never leaves the machine that plans the work.
      split: Given split; empty where the source gives none.
      age: Years; None where not stated.
      license: That the image may be used under; empty where not stated.
      mask: Absolute path of the picture that says where the disease shows; empty where there is none.
      person: Unit that stands for this row's as well, where pictures show that several patients are one person; raw, like patient.
      picture: `image_unit` that stands for this row's as well, where several show the same radiograph; raw, like name.
      number: Position among the rows of this ingest; what workers report back in place of a name.
    """

    folder: str
    name: str
    place: str
    position: int
    label: str
    patient: str = ""
    split: str = ""
    source: str = features.UNKNOWN
    view: str = features.UNKNOWN
    sex: str = features.UNKNOWN
    age: float | None = None
    license: str = ""
    mask: str = ""
    person: str = ""
    picture: str = ""
    number: int = 0

    @property
    def path(self) -> str:
        """Absolute path of the image."""
        return os.path.join(self.folder, self.name)

    @property
    def where(self) -> str:
        """For messages: "manifest.csv line 7"."""
        return f"{self.place} {self.position}"

    @property
    def unit(self) -> str:
        """What never stands in two splits: the person that pictures show several patients to be, else `own_unit`."""
        return self.person or self.own_unit

    @property
    def own_unit(self) -> str:
        """The patient, or the image where the patient is unknown."""
        return f"{PATIENT}{self.patient}" if self.patient else self.image_unit

    @property
    def radiograph(self) -> str:
        """What never stands in two splits where images are dealt: the picture, with all its copies."""
        return self.picture or self.image_unit

    @property
    def image_unit(self) -> str:
        """The image by its name in the source."""
        return f"image:{self.name}"


def parse_sex(text: str) -> str:
    """Returns M, F, O or features.UNKNOWN.

    Raises:
      CxrError: Anything else. The text does not repeat it, as it may be another fact about the patient, in the wrong column.
    """
    try:
        return SEXES[text.strip().lower()]
    except KeyError:
        raise CxrError("sex must be M, F, O or empty") from None


def parse_view(text: str) -> str:
    """Returns a view in upper case, features.UNKNOWN where none is stated."""
    view = text.strip().upper()
    return features.UNKNOWN if view in ("", features.UNKNOWN.upper()) else view


def parse_age(text: str) -> float | None:
    """Returns years, from a number or a DICOM age string (054Y, 006M, 003W, 010D); None for an empty text.

    Raises:
      CxrError: Not an age from 0 to 120 years. The text does not repeat it: it may be a date of birth.
    """
    text = text.strip()
    if not text or text.lower() == features.UNKNOWN:
        return None
    number, unit = (text[:-1], text[-1].upper()) if text[-1].upper() in YEARS_PER_UNIT else (text, "Y")
    try:
        age = float(number.replace(",", ".")) * YEARS_PER_UNIT[unit]
    except ValueError:
        raise CxrError("age must be years, or a DICOM age such as 006M, or empty") from None
    if not 0 <= age <= MAX_AGE:
        raise CxrError(f"age must lie between 0 and {MAX_AGE} years")
    return age


def uniform(seed: int, text: str) -> float:
    """Returns a number in [0, 1) that only seed and text decide."""
    digest = hashlib.blake2b(text.encode(), digest_size=8, key=str(seed).encode()).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53


def hint_at(text: str, names: Sequence[str]) -> str:
    """Returns a hint at the name that was meant, without repeating the text: in a wrong column it may be a patient's name."""
    close = difflib.get_close_matches(text.lower(), [name.lower() for name in names], 1)
    return f" (did you mean {next(name for name in names if name.lower() == close[0])!r}?)" if close else ""
