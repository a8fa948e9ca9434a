"""What a card is made of, and how it is written: Markdown with Hugging Face's metadata on top, and the same as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import yaml

from cxr.core.places import EXTRA

MARKDOWN = f"{EXTRA}/README.md"  # below the pushed version; the name that Hugging Face's hub shows
JSON = f"{EXTRA}/model_card.json"


@dataclass(frozen=True)
class Table:
    """A table; the first cell of a row names it."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """A part of the card under a heading."""

    title: str
    sentences: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()  # name and value
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True)
class ModelCard:
    """A card.

    Attributes:
      title: of the whole.
      metadata: as Hugging Face's model cards begin (https://huggingface.co/docs/hub/model-cards).
      sections: in their order.
    """

    title: str
    metadata: dict[str, Any]
    sections: tuple[Section, ...]

    @property
    def empty(self) -> tuple[str, ...]:
        """Where something is missing: a section that says nothing, a fact or a cell without text, a key of the metadata without a value."""
        return tuple(self._empty())

    def _empty(self) -> Iterator[str]:
        yield from (f"metadata: {key}" for key, value in self.metadata.items() if value in (None, "", [], {}))
        for section in self.sections:
            if not (section.sentences or section.facts or section.tables):
                yield section.title
            yield from (f"{section.title}: {name or 'a fact'}" for name, value in section.facts if not (name and value.strip()))
            yield from (f"{section.title}: a sentence" for sentence in section.sentences if not sentence.strip())
            for table in section.tables:
                cells = [cell for row in table.rows for cell in row]
                if not cells or not all(cell.strip() for cell in cells):
                    yield f"{section.title}: {table.caption}"

    def markdown(self) -> str:
        """Returns README.md."""
        head = yaml.safe_dump(self.metadata, sort_keys=False, allow_unicode=True)
        parts = [f"---\n{head}---\n", f"# {_escaped(self.title)}\n"]
        for section in self.sections:
            parts.append(f"## {_escaped(section.title)}\n")
            parts += [f"{_escaped(sentence)}\n" for sentence in section.sentences]
            if section.facts:
                parts.append("\n".join(f"- **{_escaped(name)}**: {_escaped(value)}" for name, value in section.facts) + "\n")
            parts += [_markdown(table) for table in section.tables]
        return "\n".join(parts)

    def json(self) -> str:
        """Returns model_card.json."""
        sections = {section.title: asdict(section) for section in self.sections}
        return json.dumps({"title": self.title, "metadata": self.metadata, "sections": sections}, indent=2, ensure_ascii=False) + "\n"


def _markdown(table: Table) -> str:
    lines = [table.columns, ("---",) * len(table.columns), *table.rows]
    rows = "\n".join("| " + " | ".join(_escaped(cell) for cell in line) + " |" for line in lines)
    return f"{_escaped(table.caption)}:\n\n{rows}\n"


def _escaped(text: str) -> str:
    """Names of classes and sources are somebody else's: they stay text in a page that Markdown makes."""
    flat = " ".join(text.split())
    for character, replacement in (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("[", "\\["), ("`", "\\`")):
        flat = flat.replace(character, replacement)
    return flat
