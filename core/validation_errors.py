"""What pydantic found wrong, in words for a user."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

FieldPath = tuple[str | int, ...]  # keys and indexes, from the root of a file to a value
_SHOWN = 200  # characters of a wrong value
_MOST = 50  # lines


def said(error: ErrorDetails) -> str:
    """Returns the message of one error, without pydantic's own words in front of a check of ours."""
    return error["msg"].removeprefix("Value error, ")


def all_said(errors: ValidationError) -> str:
    """Returns place and message of each, in one line. Values are left out: they may be a stranger's."""
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {said(e)}" if e["loc"] else said(e) for e in errors.errors())


def first_said(errors: ValidationError) -> str:
    """Returns place and message of the first one, and how many more there are: of a file that a program wrote."""
    first, more = errors.errors()[0], errors.error_count() - 1
    place = ".".join(map(str, first["loc"]))
    return (f"{place}: " if place else "") + said(first) + (f", and {more} more" if more else "")


def of_settings(error: ErrorDetails) -> str:
    """Returns the message of an error in a file of settings, which is the user's own, so that values may be shown."""
    if error["type"] == "extra_forbidden":
        return "unknown key; remove it or correct its spelling"
    if error["type"] == "missing":
        return "is missing"
    if isinstance(error["input"], dict):  # a check of several fields together: its message names them
        return said(error)
    given = repr(error["input"])
    return f"{said(error)} (given: {given if len(given) <= _SHOWN else given[:_SHOWN] + '…'})"


def said_lines(
    errors: ValidationError,
    root: str,
    reason: Callable[[ErrorDetails], str] = said,
    line: Callable[[FieldPath], int | None] = lambda _: None,
) -> str:
    """Returns place and message of each, a line for each; of very many the first ones.

    Args:
      errors: Of a file or a setting.
      root: What an error is of that has no place in it.
      reason: Makes the message of an error.
      line: Of the file, in which a place stands; None: in none.
    """
    lines = [f"  {_place(e['loc'], line) or root}: {reason(e)}" for e in errors.errors()[:_MOST]]
    more = errors.error_count() - len(lines)
    return "\n".join([*lines, f"  and {more} more"] if more else lines)


def _place(place: FieldPath, line: Callable[[FieldPath], int | None]) -> str:
    found = line(place)
    return ".".join(map(str, place)) + (f" (line {found})" if found else "")
