"""Lineage: what the run was made of and how long it took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cxr.components.report.page.content import Content
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
        "facts": [(model.name, key, value) for model in content.models for key, value in model.facts.items() if value],
        "artifacts": content.artifacts,
        "configuration": content.configuration,
        "versions": list(content.versions.items()),
    }


SECTION = Section("lineage", "Configuration, lineage and timings", _context)
