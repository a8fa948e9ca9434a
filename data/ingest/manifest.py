"""Reads a manifest: CSV as spreadsheets and scripts write it, in the encodings and with the separators that are about."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import count, groupby
from pathlib import Path
from typing import NamedTuple, NoReturn

from cxr.core.counts import how_many
from cxr.core.errors import CxrError

REQUIRED = ("image", "label")
UNLABELLED = ("image",)  # what it must have where nobody asks what the images show
OPTIONAL = ("patient_id", "split", "source", "view", "sex", "age", "license", "mask")
SEPARATORS = (",", ";", "\t")
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: its mark begins with the other's
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
FALLBACK = "cp1252"  # what Excel writes as plain "CSV" in Western Europe and the Americas; Latin-1 text reads the same
SAVE_AS = "save it as 'CSV UTF-8'"
_SEPARATOR_LINE = re.compile(r'\s*"?sep=(.)"?[ \t]*\r?\n', re.IGNORECASE)  # Excel's own first line
_BLOCK = 16  # rows that Excel writes alike: with separators as far as one of them has a value, so that some have fewer than the header
_OWN_COLUMNS = {name.replace("_", ""): name for name in (*REQUIRED, *OPTIONAL)}
Fault = Callable[[int, dict[str, str], str], object]  # what is done about a row that is none


def read_manifest(
    file: Path, required: Sequence[str] = REQUIRED, or_else: str = "", called: str = "", fault: Fault | None = None
) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]], list[str]]:
    """Reads the header, and gives the rows as they are asked for.

    Columns of ours are found in any spelling (`Image`, `Patient ID`) and get their own name; others keep theirs. Empty lines are left out.
    Fields that Excel leaves out at the end of its rows are empty; empty ones beyond the header, of all rows around, are passed over.

    Args:
      file: To read.
      required: Columns that it must have.
      or_else: Another remedy where one is missing, for the error.
      called: How messages name the file, where it is the copy of another; empty: by its path.
      fault: Called for a row that is none, in place of raising an error, with the line it begins in, its values as far as they can be
        told, and what is wrong; the rows after it follow.

    Returns:
      Column names; (number of the line that a row begins in, column: value) for every row; warnings.

    Raises:
      CxrError: Not a text, not CSV, a column missing or there twice, a row that has not the header's number of fields. Names file, line
        and remedy, and no value of a row: it may be a patient's name. The iterator raises it, too.
    """
    manifest = called or str(file)

    def fail(line: int, values: dict[str, str], reason: str) -> NoReturn:
        raise CxrError(f"{manifest} line {line}: {reason}")

    text, warnings = _decoded(file, manifest)
    separator, start = _separator(text, required)
    records = _records(text, separator, start)
    header = next((record for record in records if record.broken or any(record.fields)), _Record(0, start + 1, []))
    if header.broken:
        fail(header.line, {}, header.broken)
    columns = [_canonical(name) for name in header.fields]
    for name in required:
        if name not in columns:
            raise CxrError(
                f"{manifest} line {header.line}: no column {name!r}; the header needs {' and '.join(required)}, may have "
                f"{', '.join(OPTIONAL)}, and is separated by commas, semicolons or tabs{or_else}"
            )
    for name in columns:
        if name and columns.count(name) > 1:
            raise CxrError(f"{manifest} line {header.line}: column {name!r} stands there twice; remove or rename one")
    return columns, _rows(columns, header.block, records, separator, fault or fail), warnings


def column_of(name: str, columns: Sequence[str]) -> str | None:
    """Returns the column that a user means by a name, None where there is none."""
    return next((column for column in (name, _canonical(name)) if column in columns), None)


class _Record(NamedTuple):
    """A row of the file, empty ones included.

    Attributes:
      number: Of the record, from 0; one may take several lines.
      line: That it begins in, from 1.
      broken: Why it and what follows cannot be read; empty: it can.
      cut: No line break follows: the file may have been cut off in it.
    """

    number: int
    line: int
    fields: list[str]
    broken: str = ""
    cut: bool = False

    @property
    def block(self) -> int:
        """Number of the block that Excel writes it in."""
        return self.number // _BLOCK


def _rows(
    columns: list[str], header_block: int, records: Iterator[_Record], separator: str, fault: Fault
) -> Iterator[tuple[int, dict[str, str]]]:
    for block, records_of_block in groupby(records, key=lambda record: record.block):
        some = [record for record in records_of_block if record.broken or any(record.fields)]
        lengths = Counter(len(record.fields) for record in some)
        usual = next((length for length, many in lengths.items() if 2 * many > len(some)), None)
        for record in some:
            values = dict(zip(columns, [*record.fields, *[""] * len(columns)], strict=False))
            reason = record.broken or _broken_line(values)
            if not record.broken and len(record.fields) != len(columns):
                reason = _misfit(record, columns, separator, usual, block != header_block) or reason
            if reason:
                fault(record.line, values, reason)
            else:
                yield record.line, values


def _misfit(record: _Record, columns: list[str], separator: str, usual: int | None, may_be_short: bool) -> str:
    """Returns why a row of another length does not fit the header, empty where it does.

    One of another length than those around it may lack a value in its middle, or have one too many there: others would be taken for what
    they are not. Excel writes the rows of a block alike, with the header in the first.

    Args:
      record: The row.
      columns: Of the header, empty where one has no name.
      separator: Of the fields.
      usual: Fields that most rows of its block have; None: as many have another number.
      may_be_short: The header stands in another block.
    """
    found, named = len(record.fields), max(place for place, name in enumerate(columns, 1) if name)
    names, one = ("tabs", "a tab") if separator == "\t" else (repr(separator), repr(separator))
    counts = f"has not {how_many(len(columns), 'field')} as the header does, but {found}"
    if any(record.fields[len(columns) :]):
        return f"{counts}; quote values that hold {names}"
    if found > len(columns) and found != usual:
        return f"{counts}; remove {names} from its end, if they are too many there"
    if found < named and (found != usual or not may_be_short or record.cut):
        return f"{counts}; write {one} for each value that is not there, at the end of the row too"
    return ""


def _broken_line(values: dict[str, str]) -> str:
    for column in _OWN_COLUMNS.values():
        if "\n" in values.get(column, "") or "\r" in values.get(column, ""):
            return f"column {column!r} holds a line break; is a quotation mark not closed there?"
    return ""


def _canonical(name: str) -> str:
    name = name.strip()
    return _OWN_COLUMNS.get(re.sub(r"[\s_-]", "", name).lower(), name)


def _decoded(file: Path, manifest: str) -> tuple[str, list[str]]:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise CxrError(f"{manifest}: cannot be read ({error.strerror}); check the path and its permissions") from None
    encoding = next((name for mark, name in BYTE_ORDER_MARKS if data.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise CxrError(f"{manifest} line {line}: holds a zero byte: a binary file, or UTF-16 without its mark; {SAVE_AS}")
    try:
        text = data.decode(encoding)
        if "\0" in text:
            raise CxrError(f"{manifest} line {text.count(chr(10), 0, text.index(chr(0))) + 1}: holds a zero character; {SAVE_AS}")
        return text, []
    except UnicodeDecodeError as error:
        line = data[: error.start].decode(encoding, "ignore").count("\n") + 1
        if encoding != "utf-8":
            raise CxrError(f"{manifest} line {line}: no text in {encoding.upper()}; {SAVE_AS}") from None
        warning = f"{manifest} line {line}: not in UTF-8, read as {FALLBACK} (Western European); if it is something else, {SAVE_AS}"
        try:
            return data.decode(FALLBACK), [warning]
        except UnicodeDecodeError as other:
            line = data.count(b"\n", 0, other.start) + 1
            raise CxrError(f"{manifest} line {line}: no text in UTF-8 or {FALLBACK}; {SAVE_AS}") from None


def _separator(text: str, required: Sequence[str]) -> tuple[str, int]:
    """Returns the separator, and the number of lines to skip: it is what the first line names, or what makes a header of the first line."""
    named = _SEPARATOR_LINE.match(text)
    if named:
        return named[1], named[0].count("\n")
    for separator in SEPARATORS:
        try:
            header = next((fields for fields in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if any(fields)), [])
        except csv.Error:  # told with its line when the rows are read
            continue
        if set(required) <= {_canonical(name) for name in header}:
            return separator, 0
    return SEPARATORS[0], 0


def _records(text: str, separator: str, start: int) -> Iterator[_Record]:
    """Yields the rows; one that is not CSV is the last."""
    stream = io.StringIO(text, newline="")
    for _ in range(start):
        stream.readline()
    reader = csv.reader(stream, delimiter=separator, strict=True)
    for number in count():
        line = start + reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield _Record(number, line, [], f"not CSV: {_explained(error)}")
            return
        cut = stream.tell() == len(text) and not text.endswith(("\n", "\r"))
        yield _Record(number, line, [field.strip() for field in fields], "", cut)


def _explained(error: csv.Error) -> str:
    if "unexpected end" in str(error):
        return "a quotation mark is opened there and never closed; close or remove it"
    if "field limit" in str(error):
        return f"a value of more than {csv.field_size_limit():,} characters; is a quotation mark opened there and not closed?"
    if "expected after" in str(error):
        return "text follows a closing quotation mark; write a quotation mark inside a value twice, and close every one that is opened"
    return f"{error}; {SAVE_AS}"
