"""Errors: the most confident wrong answers, with the answers of all models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cxr.components.report.page.content import Content
from cxr.components.report.page.section import Section


def _context(content: Content) -> Mapping[str, Any] | None:
    return {"mistakes": content.mistakes} if content.mistakes else None


SECTION = Section("errors", "Errors", _context)
