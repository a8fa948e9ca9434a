"""What a section of the page is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cxr.components.report.page.content import Content


@dataclass(frozen=True)
class Section:
    """A part of the page under a heading of its own.

    Attributes:
      key: its anchor, and the name of its template (`templates/<key>.html.j2`).
      title: heading.
      context: what the template gets; None where the run has nothing to show under this heading.
    """

    key: str
    title: str
    context: Callable[[Content], Mapping[str, Any] | None]
