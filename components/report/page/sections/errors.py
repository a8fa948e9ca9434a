"""Errors: the most confident wrong answers, with the answers of all models and where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cxr.components.report.page.content import Content
from cxr.components.report.page.numbers import unbroken
from cxr.components.report.page.section import Section


def _context(content: Content) -> Mapping[str, Any] | None:
    if not (content.mistakes or content.explanation):
        return None
    found = content.explanation.localisation if content.explanation else ()
    rows = [
        (f.model, f"{f.images} ({f.patients})", *(unbroken(str(figure)) for figure in (f.energy, f.area, f.elsewhere, f.hits)), f.empty)
        for f in found
    ]
    return {"mistakes": content.mistakes, "explanation": content.explanation, "localisation": rows}


SECTION = Section("errors", "Errors", _context)
