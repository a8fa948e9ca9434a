import itertools
import threading

import pytest

from cxr.serving.client.streams import batches, parallel_map


def test_order_is_kept_and_work_is_bounded():
    running, most, lock = 0, 0, threading.Lock()
    both = threading.Barrier(2, timeout=20)

    def work(item: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        if item < 2:
            both.wait()  # passes only when two run at the same time
        with lock:
            running -= 1
        return -item

    assert list(parallel_map(work, range(20), 2, "t")) == [-i for i in range(20)]
    assert most == 2


def test_reads_no_further_ahead_than_its_workers():
    taken = []

    def endless():
        for i in itertools.count():
            taken.append(i)
            yield i

    stream = parallel_map(lambda item: item, endless(), 3, "t")
    assert next(stream) == 0
    assert len(taken) <= 3
    stream.close()


def test_an_error_comes_in_its_turn():
    stream = parallel_map(lambda item: 1 // item, [2, 1, 0, 5], 2, "t")
    assert [next(stream), next(stream)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(stream)


def test_groups_are_bounded_in_number_and_bytes():
    groups = list(batches(["a", "bb", "cccccc", "d", "e", "f", "g"], len, 3, 4))
    assert groups == [["a", "bb"], ["cccccc"], ["d", "e", "f"], ["g"]]
    assert list(batches([], len, 3, 4)) == []
