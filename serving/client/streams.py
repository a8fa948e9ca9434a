"""Bounded streams: maps in parallel that keep the order, and batches limited in number and in bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def parallel_map(function: Callable[[T], R], items: Iterable[T], workers: int, name: str) -> Generator[R, None, None]:
    """Yields `function(item)` in the order of the items; at most `workers` items are under way or waiting to be taken.

    `items` is read as results are taken, so that an endless one is fine. An exception of `function` is raised in its turn; what is not
    yet begun is then dropped.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix=name)
    pending: deque[Future[R]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def batches(items: Iterable[T], size: Callable[[T], int], max_items: int, max_bytes: int) -> Iterator[list[T]]:
    """Groups items.

    Args:
      items: in order.
      size: bytes of one.
      max_items: in a group, 1 or more.
      max_bytes: of a group; a larger item makes a group alone.

    Yields:
      Groups of at least one item.
    """
    group: list[T] = []
    total = 0
    for item in items:
        if group and (len(group) >= max_items or total + size(item) > max_bytes):
            yield group
            group, total = [], 0
        group.append(item)
        total += size(item)
    if group:
        yield group
