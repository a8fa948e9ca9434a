"""Evaluates the CEL expressions that KFP's driver evaluates over the ExecutorInput: the part of CEL that TFX's compiler emits."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Mapping
from typing import Any

from simulator.store import SimulationError

_COMPARE = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.Gt: operator.gt,
    ast.LtE: operator.le,
    ast.GtE: operator.ge,
}


def holds(condition: str, executor_input: Mapping[str, Any]) -> bool:
    """Returns the value of a condition such as `inputs.artifacts['k'].artifacts[0].metadata['blessed'] == 1.0`.

    Raises:
      SimulationError: The expression or a field in it is unknown, or values of different types are compared (an error in CEL).
    """
    python = re.sub(r"!(?!=)", " not ", condition.replace("&&", " and ").replace("||", " or "))
    try:
        return bool(_value(ast.parse(python.strip(), mode="eval").body, executor_input))
    except (SyntaxError, KeyError, IndexError, TypeError) as error:
        raise SimulationError(f"condition {condition}: {type(error).__name__}: {error}") from error


def _value(node: ast.expr, scope: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant():
            return node.value
        case ast.Name():
            return scope[node.id]
        case ast.Attribute():
            return _value(node.value, scope)[node.attr]
        case ast.Subscript():
            return _value(node.value, scope)[_value(node.slice, scope)]
        case ast.BoolOp(op=ast.And()):
            return all(_value(item, scope) for item in node.values)
        case ast.BoolOp():
            return any(_value(item, scope) for item in node.values)
        case ast.UnaryOp(op=ast.Not()):
            return not _value(node.operand, scope)
        case ast.Compare(ops=[comparison], comparators=[right]):
            values = _value(node.left, scope), _value(right, scope)
            if type(values[0]) is not type(values[1]):
                raise TypeError(f"no such overload: {values[0]!r} and {values[1]!r}")
            return _COMPARE[type(comparison)](*values)
    raise TypeError(f"unknown expression {ast.dump(node)}")
