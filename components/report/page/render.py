"""Renders the page: one HTML file without scripts and without anything from elsewhere.

The charts are SVG made here, not in the reader's browser: a page without scripts prints, works where scripts are forbidden, and shows the
same in ten years. (Measured: Altair with its scripts inline adds 0.9 MB; these charts 10 to 20 KB each.)
"""

from __future__ import annotations

import functools
from pathlib import Path

import jinja2
from markupsafe import Markup

from cxr.components.report.page import numbers
from cxr.components.report.page.content import Content
from cxr.components.report.page.section import Section
from cxr.components.report.page.sections import calibration, comparison, curves, data, errors, evaluation, lineage, shortcuts, verdict
from cxr.core import disclaimer, spans
from cxr.core.counts import how_many

# In the order of the page. A new section is a module with a SECTION, a template of the same name, and a word here.
SECTIONS: tuple[Section, ...] = (
    verdict.SECTION,
    data.SECTION,
    shortcuts.SECTION,
    curves.SECTION,
    evaluation.SECTION,
    calibration.SECTION,
    errors.SECTION,
    comparison.SECTION,
    lineage.SECTION,
)
_TEMPLATES = Path(__file__).parent / "templates"


def render(content: Content, sections: tuple[Section, ...] = SECTIONS) -> str:
    """Returns the page.

    Args:
      content: What it shows.
      sections: In their order; one without anything to show is left out.
    """
    environment = _environment()
    parts = []
    for section in sections:
        context = section.context(content)
        if context is not None:
            body = environment.get_template(f"{section.key}.html.j2").render(content=content, **context)
            parts.append((section, Markup(body)))  # rendered with autoescape, one line above
    style = Markup((_TEMPLATES / "style.css").read_text(encoding="utf-8"))
    return environment.get_template("page.html.j2").render(content=content, parts=parts, style=style, disclaimer=disclaimer)


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "how_many": how_many,
        "number": numbers.number,
        "percent": numbers.percent,
        "memory": spans.memory,
        "moment": spans.moment,
        "span": spans.span,
    }
    return environment
