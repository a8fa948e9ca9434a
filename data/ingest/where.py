"""Which rows of a manifest are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cxr.core import features
from cxr.core.counts import agreeing, how_many
from cxr.core.errors import CxrError, UsageError
from cxr.data.ingest.manifest import column_of
from cxr.data.ingest.rows import parse_age, parse_sex, parse_view

# Columns that records do not have as they are written.
_PARSED: dict[str, Callable[[str], object]] = {features.VIEW: parse_view, features.SEX: parse_sex, features.AGE: parse_age}


def condition(where: Mapping[str, str]) -> str:
    """Returns what rows must say to be taken, for messages."""
    return " and ".join(f"{column}={value}" for column, value in where.items())


def left_out(rows: int, where: Mapping[str, str]) -> str:
    """Returns what is said of rows that are not asked for."""
    return f"{how_many(rows, 'row')} of the manifest left out that {agreeing(rows, 'does', 'do')} not say {condition(where)}"


class _Asked(NamedTuple):
    """What a column must say: as it was given, as records have it, and but for case and blanks."""

    text: str
    said: object
    letters: object


class Where:
    """Takes the rows that say what is asked for, and counts the others.

    What is compared is what records will have: `pa` and `PA` are one view, `female` and `F` one sex, `44` and `044Y` one age. In other
    columns every letter counts.

    Attributes:
      left_out: Rows that say something else.
      alike: Those of them that say the same but for case or blanks.
    """

    def __init__(self, where: Mapping[str, str], manifest: Path, columns: Sequence[str]):
        """Finds the columns.

        Args:
          where: Column, in any spelling: value.
          manifest: For messages.
          columns: That the manifest has.

        Raises:
          UsageError: A column that is not there, or is named twice.
        """
        self.left_out = self.alike = 0
        self._asked: dict[str, _Asked] = {}
        for name, value in where.items():
            column = column_of(name, columns)
            if column is None:
                raise UsageError(f"where {name}={value}: {manifest} has no such column; it has {', '.join(filter(None, columns))}")
            if column in self._asked:
                raise UsageError(f"where {name}={value}: column {column!r} is asked for twice, and a row has one value of it; name it once")
            self._asked[column] = _Asked(value.strip(), _said(column, value.strip()), _letters(column, value.strip()))

    def takes(self, values: Mapping[str, str]) -> bool:
        """Tells whether a row is asked for.

        Args:
          values: By column.
        """
        if all(_said(column, values[column]) == asked.said for column, asked in self._asked.items()):
            return True
        self.left_out += 1
        self.alike += all(_letters(column, values[column]) == asked.letters for column, asked in self._asked.items())
        return False

    def notes(self) -> list[str]:
        """Returns warnings: of what looks left out by mistake."""
        if not self.alike:
            return []
        asked = condition({column: asked.text for column, asked in self._asked.items()})
        return [f"where {asked}: {self._mistake()}"]

    def hint(self) -> str:
        """Returns what an error adds where rows are missed that may be left out by mistake."""
        return f"; {self._mistake()}" if self.alike else ""

    def _mistake(self) -> str:
        differ = how_many(self.alike, "row that is left out differs", "rows that are left out differ")
        return f"{differ} from it in case or blanks only, which count in that column: write one value in one way"


def _said(column: str, text: str) -> object:
    try:
        return _PARSED.get(column, str)(text)
    except CxrError:  # told where the row is taken
        return text


def _letters(column: str, text: str) -> object:
    said = _said(column, text)
    return "".join(said.split()).casefold() if isinstance(said, str) else said
