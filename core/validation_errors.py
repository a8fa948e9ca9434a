"""What pydantic found wrong, in words for a user."""

from __future__ import annotations

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
