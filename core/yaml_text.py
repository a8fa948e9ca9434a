"""Reads YAML that anybody may have written: plain values only, of bounded size, and one kind of error."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

MAX_VALUES = 100_000  # after every alias is written out; a configuration of ours has some hundred
_INTEGER = "tag:yaml.org,2002:int"
_OCTAL = re.compile(r"[-+]?0[0-7_]+")


class YamlError(yaml.YAMLError):
    """A text that PyYAML's grammar allows and that cannot be used all the same."""


def parse(text: str, *, first: bool = False, name: str = "text") -> Any:
    """Returns what a YAML document says: dicts, lists, strings, numbers, dates, None.

    PyYAML's safe loader constructs no objects. Beside that, this refuses aliases of aliases that some hundred bytes let grow into
    gigabytes once somebody copies or prints the value, and what PyYAML leaves as Python's own errors: nesting, dates, digits.

    Args:
      text: One document.
      first: There may be more, and the first is meant.
      name: Where it stands, for errors.

    Raises:
      yaml.YAMLError: It is none, too large or too deep, or a key stands twice, of which PyYAML would take the last.
    """
    loader = yaml.SafeLoader(text)
    loader.name = name
    try:
        node = (loader.get_node() if loader.check_node() else None) if first else loader.get_single_node()
        if node is None:
            return None
        _size(node, {})
        return loader.construct_document(node)
    except RecursionError:
        raise YamlError("nested too deeply") from None
    except (ValueError, OverflowError) as error:  # 2001-99-99; a number of more digits than Python reads
        raise YamlError(f"a value that cannot be read: {error}") from None
    finally:
        loader.dispose()


class Lines:
    """In which lines the values of a document stand that `parse` has read."""

    def __init__(self, text: str) -> None:
        """Takes the document."""
        self._root = yaml.compose(text, yaml.SafeLoader)

    def of(self, *places: Sequence[str | int]) -> int | None:
        """Returns the line, from 1, in which a value begins; None: the document has no part of the way to it.

        Args:
          places: Keys and indexes from the root to the value, each the way to one place where it may stand. The first one that the
            document has whole counts, otherwise the first one of those that it has most of: a key that is missing has the line of what
            lacks it.
        """
        ways = [list(_lines_along(self._root, place)) for place in places]
        best = max(zip(ways, places, strict=True), key=lambda one: (len(one[0]) == len(one[1]), len(one[0])))[0]
        return best[-1] if best else None


def _lines_along(node: yaml.Node | None, place: Sequence[str | int]) -> Iterator[int]:
    """Yields the lines in which the steps of a way begin, as far as the document has it."""
    for part in place:
        if isinstance(node, yaml.MappingNode):
            step = next(((key, value) for key, value in node.value if key.value == str(part)), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            step = (node.value[part], node.value[part])
        else:
            step = None
        if step is None:
            return
        yield step[0].start_mark.line + 1
        node = step[1]


def _check_keys(node: yaml.MappingNode) -> None:
    places: dict[tuple[str, str], yaml.Mark] = {}
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            place = key.start_mark
            first = places.setdefault((key.tag, key.value), place)
            if first is not place:
                raise YamlError(f"{place.name}, line {place.line + 1}: the key {key.value!r} stands in line {first.line + 1} already")


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """Returns the number of values below a node, those of aliases as often as they are named."""
    if isinstance(node, yaml.ScalarNode):
        if node.tag == _INTEGER and _OCTAL.fullmatch(node.value):
            line, value = node.start_mark.line + 1, node.value
            raise YamlError(f"line {line}: {value} begins with 0, which YAML reads as an octal number; write {value.replace('0', '', 1)}")
        return 1
    if (found := known.get(id(node))) is not None:
        if not found:
            raise YamlError("an alias that holds itself")
        return found
    known[id(node)] = 0  # being counted
    if isinstance(node, yaml.MappingNode):
        _check_keys(node)
    parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
    count = 1 + sum(_size(part, known) for part in parts)
    if count > MAX_VALUES:
        raise YamlError(f"more than {MAX_VALUES:,} values, aliases written out")
    known[id(node)] = count
    return count
