"""Text of strangers (names of files, cells of tables, tags, models' names in requests) on the way to a terminal, a log or a spreadsheet."""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Iterable
from typing import Any

# What a terminal obeys in place of showing it: control characters, and marks that turn the direction of writing.
# Bytes of a file's name that are no UTF-8, too: most encodings of outputs refuse them.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_BREAKS = re.compile("[\t\n]")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # how a spreadsheet knows one, in full width too
LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"


def visible(text: str) -> str:
    r"""Returns the text with control characters and bytes that are no UTF-8 spelled out (`\x1b`, `\udcff`); tabs and line breaks stay."""
    return _CONTROL.sub(_spelled, text)


def one_line(text: str) -> str:
    """The same for one line: tabs and line breaks are spelled out, too."""
    return _BREAKS.sub(_spelled, visible(text))


def cells(row: Iterable[object]) -> list[Any]:
    r"""Returns the cells of a row of a CSV that people open in a spreadsheet: text that it would compute begins with an apostrophe.

    Numbers stay what they are, written as text too: `-0.5`. Bytes of a file's name that are no UTF-8 are spelled out (`\udcff`).
    """
    return [_cell(cell) if isinstance(cell, str) else cell for cell in row]


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """Returns the text of such a CSV."""
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows(map(cells, rows))
    return stream.getvalue()


class OneLineFormatter(logging.Formatter):
    """A record is one line, whatever it tells of; a traceback follows on lines of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Returns the line."""
        record.message = one_line(record.message)
        return super().formatMessage(record)


def log_to_stderr() -> None:
    """Sends the records of this process from INFO on to stderr, a line each; does nothing where somebody has set that up."""
    handler = logging.StreamHandler()
    handler.setFormatter(OneLineFormatter(LOG_FORMAT))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _spelled(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def _cell(text: str) -> str:
    text = text.encode("utf-8", "backslashreplace").decode()
    return f"'{text}" if text.startswith(_FORMULA) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
