"""What pydantic found wrong, in words for a user."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails


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


def said_lines(errors: ValidationError, root: str, reason: Callable[[ErrorDetails], str] = said) -> str:
    """Returns place and message of each, a line for each.

    Args:
      errors: Of a file or a setting.
      root: What an error is of that has no place in it.
      reason: Makes the message of an error.
    """
    return "\n".join(f"  {'.'.join(map(str, e['loc'])) or root}: {reason(e)}" for e in errors.errors())
