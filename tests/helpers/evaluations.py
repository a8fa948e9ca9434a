"""Evaluations for tests, with every figure of core/figure_table.py."""

from collections.abc import Mapping
from typing import Any

from cxr.core.figure_table import OF_ALL_CLASSES, OF_ONE_CLASS, interval_key
from cxr.core.intervals import Interval


def of_all_classes(interval: Interval, others: float = 0.0, **values: float) -> dict[str, Any]:
    """Fields of a PartResult: `values` by name, `others` of the figures that are not among them, and the same interval for all."""
    return _fields([row.name for row in OF_ALL_CLASSES], interval, others, values)


def of_one_class(interval: Interval, others: float = 0.0, **values: float) -> dict[str, Any]:
    """Fields of a ClassResult, likewise."""
    return _fields([row.name for row in OF_ONE_CLASS], interval, others, values)


def _fields(names: list[str], interval: Interval, others: float, values: Mapping[str, float]) -> dict[str, Any]:
    assert set(values) <= set(names)
    return {name: float(values.get(name, others)) for name in names} | {interval_key(name): interval for name in names}
