"""Lineage: what the run was made of and how long it took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cxr.components.report.page.content import Content
from cxr.components.report.page.numbers import NONE
from cxr.components.report.page.section import Section
from cxr.core.spans import memory, span


def _context(content: Content) -> Mapping[str, Any]:
    longest = max((step.seconds for step in content.steps), default=0)
    return {
        "steps": [
            (step.node, step.state, span(step.seconds), step.seconds / longest if longest else 0, memory(step.peak_memory))
            for step in content.steps
        ],
        "made_by_node": not content.run,
        "peak": max((step.peak_memory for step in content.steps if step.peak_memory), default=None),
        "total": span(sum(step.seconds for step in content.steps)),
        "of": [model.name for model in content.models if model.facts],
        "facts": _facts(content),
        "artifacts": content.artifacts,
        "configuration": content.configuration,
        "versions": list(content.versions.items()),
    }


def _facts(content: Content) -> list[tuple[str, ...]]:
    """A row for each fact, with a value for each model that has any; in the order in which models name them first."""
    models = [model for model in content.models if model.facts]
    named = dict.fromkeys(key for model in models for key, value in model.facts.items() if value)
    return [(key, *(model.facts.get(key) or NONE for model in models)) for key in named]


SECTION = Section("lineage", "Configuration, lineage and timings", _context)
