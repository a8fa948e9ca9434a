"""What TFMA's combiners of ours have in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, Protocol, Self, TypeVar

import apache_beam as beam


class Mergeable(Protocol):
    """What is known of some examples, and takes up what is known of others."""

    def merge(self, other: Self) -> None:
        """Adds another one's examples."""


T = TypeVar("T", bound=Mergeable)


class MergingCombiner(beam.CombineFn, Generic[T]):
    """A combiner whose accumulators merge by themselves."""

    def merge_accumulators(self, accumulators: Iterable[T]) -> T:
        """Returns what is known of the examples of all parts."""
        result: T = self.create_accumulator()
        for accumulator in accumulators:
            result.merge(accumulator)
        return result
