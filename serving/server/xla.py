"""Finds what TensorFlow Serving cannot run: functions built with `jit_compile=True`. It has no XLA compiler, this process has one."""

from collections.abc import Iterable, Iterator

import tensorflow as tf
from tensorflow.core.framework import function_pb2, node_def_pb2

MESSAGE = "XLA compilation disabled"  # TensorFlow Serving's text, code INTERNAL
_MUST_COMPILE = "_XlaMustCompile"


def compiled_functions(library: function_pb2.FunctionDefLibrary) -> frozenset[str]:
    """Returns the names of the functions that must be compiled, or that call one which must."""
    calls = {f.signature.name: {name for node in f.node_def for name in _called(node)} for f in library.function}
    found = {f.signature.name for f in library.function if _marked(f) or any(map(_marked, f.node_def))}
    while more := {name for name, callees in calls.items() if callees & found} - found:
        found |= more
    return frozenset(found)


def reaches(graph: tf.Graph, fetches: Iterable[str], compiled: frozenset[str]) -> bool:
    """Returns whether computing the tensors runs one of the compiled functions.

    Args:
      graph: of the session.
      fetches: tensor names.
      compiled: from `compiled_functions`.
    """
    if not compiled:
        return False
    waiting = [graph.get_tensor_by_name(name).op for name in fetches]
    seen = set(waiting)
    while waiting:
        operation = waiting.pop()
        if compiled.intersection(_called(operation.node_def)):
            return True
        before = {tensor.op for tensor in operation.inputs} | set(operation.control_inputs)
        waiting.extend(before - seen)
        seen |= before
    return False


def _marked(definition: function_pb2.FunctionDef | node_def_pb2.NodeDef) -> bool:
    return _MUST_COMPILE in definition.attr and definition.attr[_MUST_COMPILE].b


def _called(node: node_def_pb2.NodeDef) -> Iterator[str]:
    yield node.op
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        elif value.HasField("list"):
            yield from (function.name for function in value.list.func)
