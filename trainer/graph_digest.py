"""A hash over what a TensorFlow graph computes, whatever numbers TensorFlow has put into the names of its functions."""

from __future__ import annotations

import hashlib
import re

from tensorflow.core.framework.function_pb2 import FunctionDef
from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.core.framework.node_def_pb2 import NodeDef

_NUMBERED = re.compile(r"(\w+?)_(\d+)(_\d+)?")  # __inference_map_while_body_5545_694: the trace's number, and that of loading it


def digest(graph: GraphDef) -> str:
    """Returns the hash (hex) of a graph's nodes, their constants, and the functions that they call.

    Functions count by the order in which they were traced: their numbers hang on what the process had traced before, and stand in the
    names of arguments too.

    Args:
      graph: Its own; functions that nobody calls do not count.
    """
    functions = _called(graph)
    numbers = {match[2]: match for name in functions if (match := _NUMBERED.fullmatch(name))}
    rank = {number: str(place) for place, number in enumerate(sorted(numbers, key=int))}
    names = {match[0]: f"{match[1]}_{rank[number]}" for number, match in numbers.items()}

    def plain(message: NodeDef | FunctionDef) -> str:
        text = re.sub(r"\w+", lambda found: names.get(found[0], found[0]), str(message))
        return re.sub(r"_(\d+)(?=_)", lambda found: f"_{rank.get(found[1], found[1])}", text)

    parts = [plain(node) for node in sorted(graph.node, key=lambda node: node.name)]
    return hashlib.sha256("\0".join([*parts, *sorted(map(plain, functions.values()))]).encode()).hexdigest()


def _called(graph: GraphDef) -> dict[str, FunctionDef]:
    """The functions that nodes call, and that these call, by name."""
    known = {function.signature.name: function for function in graph.library.function}
    found: dict[str, FunctionDef] = {}
    waiting = list(graph.node)
    while waiting:
        node = waiting.pop()
        values = [function for value in node.attr.values() for function in (value.func, *value.list.func)]
        for name in {node.op, *(function.name for function in values)} & known.keys() - found.keys():
            found[name] = known[name]
            waiting += known[name].node_def
    return found
