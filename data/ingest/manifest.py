"""Reads a manifest: CSV as spreadsheets and scripts write it, in the encodings and with the separators that are about."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

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
_OWN_COLUMNS = {name.replace("_", ""): name for name in (*REQUIRED, *OPTIONAL)}


def read_manifest(
    file: Path, required: Sequence[str] = REQUIRED, or_else: str = "", called: str = ""
) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]], list[str]]:
    """Reads the header, and gives the rows as they are asked for.

    Columns of ours are found in any spelling (`Image`, `Patient ID`) and get their own name; others keep theirs. Empty lines are left out.

    Args:
      file: To read.
      required: Columns that it must have.
      or_else: Another remedy where one is missing, for the error.
      called: How messages name the file, where it is the copy of another; empty: by its path.

    Returns:
      Column names; (number of the line that a row begins in, column: value) for every row; warnings.

    Raises:
      CxrError: Not a text, not CSV, a column missing or there twice, a row that has not the header's number of fields. Names file, line
        and remedy, and no value of a row: it may be a patient's name. The iterator raises it, too.
    """
    manifest = called or str(file)
    text, warnings = _decoded(file, manifest)
    separator, start = _separator(text, required)
    records = _records(manifest, text, separator, start)
    line, fields = next((record for record in records if any(record[1])), (start + 1, []))
    columns = [_canonical(name) for name in fields]
    for name in required:
        if name not in columns:
            raise CxrError(
                f"{manifest} line {line}: no column {name!r}; the header needs {' and '.join(required)}, may have {', '.join(OPTIONAL)}, "
                f"and is separated by commas, semicolons or tabs{or_else}"
            )
    for name in columns:
        if name and columns.count(name) > 1:
            raise CxrError(f"{manifest} line {line}: column {name!r} stands there twice; remove or rename one")
    return columns, _rows(manifest, columns, records, separator), warnings


def column_of(name: str, columns: list[str]) -> str | None:
    """Returns the column that a user means by a name, None where there is none."""
    return next((column for column in (name, _canonical(name)) if column in columns), None)


def _rows(
    manifest: str, columns: list[str], records: Iterator[tuple[int, list[str]]], separator: str
) -> Iterator[tuple[int, dict[str, str]]]:
    for line, fields in records:
        if not any(fields):
            continue
        if len(fields) != len(columns):
            name = "tabs" if separator == "\t" else repr(separator)
            found, wanted = len(fields), how_many(len(columns), "field")
            raise CxrError(f"{manifest} line {line}: has not {wanted} as the header does, but {found}; quote values that hold {name}")
        row = dict(zip(columns, fields, strict=True))
        for column in _OWN_COLUMNS.values():
            if "\n" in row.get(column, "") or "\r" in row.get(column, ""):
                raise CxrError(f"{manifest} line {line}: column {column!r} holds a line break; is a quotation mark not closed there?")
        yield line, row


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


def _records(manifest: str, text: str, separator: str, start: int) -> Iterator[tuple[int, list[str]]]:
    stream = io.StringIO(text, newline="")
    for _ in range(start):
        stream.readline()
    reader = csv.reader(stream, delimiter=separator, strict=True)
    while True:
        line = start + reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise CxrError(f"{manifest} line {line}: not CSV: {_explained(error)}") from None
        yield line, [field.strip() for field in fields]


def _explained(error: csv.Error) -> str:
    if "unexpected end" in str(error):
        return "a quotation mark is opened there and never closed; close or remove it"
    if "field limit" in str(error):
        return f"a value of more than {csv.field_size_limit():,} characters; is a quotation mark opened there and not closed?"
    if "expected after" in str(error):
        return "text follows a closing quotation mark; write a quotation mark inside a value twice, and close every one that is opened"
    return f"{error}; {SAVE_AS}"
