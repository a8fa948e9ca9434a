"""Which images of a collection are taken, and what is known of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cxr.core.errors import CxrError
from cxr.core.strict_model import StrictModel
from cxr.data.fetch.catalogue import Collection, Remote
from cxr.data.fetch.entries import Entry
from cxr.data.ingest.manifest import read_manifest
from cxr.data.ingest.rows import parse_age, parse_sex

NO_CLASS = "a finding that is none of the three classes"
NOT_FRONTAL = "no frontal view"
NO_LICENCE = "no licence stated"
TWICE = "listed twice"
NOT_THERE = "listed, but no such file"
NOT_DRAWN = "not drawn for the subset"

LARGEST_TABLE = 64 << 20  # bytes


class Options(StrictModel):
    """What is taken of a collection; a folder that was made with other options is another one."""

    per_class: int = 300
    seed: int = 0
    parts: tuple[int, ...] = ()
    licensed_only: bool = False


@dataclass(frozen=True)
class Candidate:
    """One image that is taken. Texts, as a manifest has them.

    Attributes:
      path: In the collection, with `/`; the end of it is enough, where that is one image's alone.
    """

    path: str
    label: str
    patient_id: str
    source: str
    view: str = ""
    sex: str = ""
    age: str = ""
    license: str = ""
    subset: str = ""


@dataclass
class Selection:
    """All images that are taken, how many are not, by reason, and what the user should know of that."""

    candidates: list[Candidate] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    remarks: list[str] = field(default_factory=list)

    def without(self, unwanted: Callable[[Candidate], bool], reason: str) -> None:
        """Leaves images out."""
        kept = [candidate for candidate in self.candidates if not unwanted(candidate)]
        self.left_out[reason] += len(self.candidates) - len(kept)
        self.candidates = kept


Walk = Callable[[], Iterator[Entry]]  # lists a collection's files, each time anew
Part = tuple[Remote, list[Candidate]]  # a file to download, and the images that it is or holds


@dataclass(frozen=True)
class Reader:
    """How one collection is read.

    Attributes:
      select: Told how to list the files, the options, and a folder for what has to be unpacked to be read.
      parts: Which downloads hold the images that were selected; told the folder of the downloads, too.
    """

    select: Callable[[Walk, Options, Path], Selection]
    parts: Callable[[Collection, Selection, Path], list[Part]]


def table(walk: Walk, names: tuple[str, ...], folder: Path, required: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Yields the rows of a collection's table.

    Args:
      walk: Lists the files.
      names: Of the table, in lower case; the first file that has one of them.
      folder: Where the table is copied to.
      required: Columns that it must have.

    Raises:
      CxrError: No such table, or it cannot be read.
    """
    copied = found(walk, lambda entry: entry.base.lower() in names, folder)
    if copied is None:
        raise CxrError(f"no {' or '.join(names)} in it; name the folder or archive that holds it and the images with --from")
    path, place = copied
    _, rows, _ = read_manifest(path, required, called=place)  # who mends the copy finds it overwritten
    for _, values in rows:
        yield values


def found(walk: Walk, wanted: Callable[[Entry], bool], folder: Path) -> tuple[Path, str] | None:
    """Copies the first such file into a folder; returns the copy and, for messages, where it is from; None where there is none.

    Raises:
      CxrError: It is larger than any table is.
    """
    for entry in walk():
        if wanted(entry):
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / entry.base
            entry.copy(path)
            if path.stat().st_size > LARGEST_TABLE:
                raise CxrError(f"{entry.container}: a table of more than {LARGEST_TABLE >> 20} MB is not read")
            return path, str(entry.container / entry.name) if entry.container.is_dir() else f"{entry.container}: {entry.name}"
    return None


def known_age(text: str) -> str:
    """Returns an age that a manifest may have; empty where it is none (collections have people of 414 years)."""
    try:
        age = parse_age(text)
    except CxrError:
        return ""
    return "" if age is None else f"{age:g}"


def known_sex(text: str) -> str:
    """Returns a sex that a manifest may have; empty where it is none."""
    try:
        parse_sex(text)
    except CxrError:
        return ""
    return text.strip().upper()
