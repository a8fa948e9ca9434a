"""In which settings two configurations differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from cxr.components.report.redaction import hidden
from cxr.core.strict_model import StrictModel
from cxr.pipeline.pipeline_config import Config, load, shipped

ABSENT = "–"  # in place of a value: there is no such key
_ABSENT = object()
MOST_LINES = 20
_MOST_CHARACTERS = 60
_OF_THE_FILE = ("name", "description")  # they name a configuration, they change nothing


class Difference(StrictModel):
    """One setting, by its dotted key, and what either configuration has there; as YAML in one line."""

    key: str
    first: str
    second: str

    @property
    def cells(self) -> tuple[str, str, str]:
        """The same for a table or a line: whole sections are cut short."""
        return self.key, _cut(self.first), _cut(self.second)


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Returns the settings in which two configurations differ, in their order.

    Args:
      first: As YAML has it, in full.
      second: Of the other one.
    """
    return tuple(_compared("", first, second))


def lines(found: Sequence[Difference], most: int = MOST_LINES) -> list[str]:
    """Returns a line for each difference, "gate.tolerance: 0.02 → 0.0", and one that counts those beyond `most`."""
    shown = ["{}: {} → {}".format(*one.cells) for one in found[:most]]
    return [*shown, f"… and {len(found) - most} more"] if len(found) > most else shown


def from_shipped(config: Config) -> tuple[str, tuple[Difference, ...]]:
    """Returns the shipped configuration that a configuration is to be read beside, and in what it differs from it.

    It is the one of the same name; where there is none, the one with the fewest differences.
    """
    return from_shipped_tree(config.model_dump(mode="json"))


def from_shipped_tree(tree: Mapping[str, Any]) -> tuple[str, tuple[Difference, ...]]:
    """Returns the same for a configuration as YAML has it, of a kept run for instance, whose version may have had other keys."""
    names = tuple(shipped())
    own = str(tree.get("name"))
    candidates = (own,) if own in names else names
    found = {name: differences(load(name).model_dump(mode="json"), tree) for name in candidates}
    nearest = min(found, key=lambda name: len(found[name]))
    return nearest, found[nearest]


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 2]} …"


def _compared(key: str, first: Any, second: Any) -> Iterator[Difference]:
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for name in dict.fromkeys([*first, *second]):
            if key or name not in _OF_THE_FILE:
                yield from _compared(f"{key}.{name}" if key else str(name), first.get(name, _ABSENT), second.get(name, _ABSENT))
    elif first != second:
        yield Difference(key=key, first=_text(key, first), second=_text(key, second))


def _text(key: str, value: Any) -> str:
    if value is _ABSENT:
        return ABSENT
    text = yaml.safe_dump(hidden(key, value), default_flow_style=True, allow_unicode=True, width=10_000)
    return text.removesuffix("...\n").strip()
