import functools

import bench_rows
import pytest
from bench.data import Data
from bench.runner import measure

from cxr.core.errors import CxrError

A, B, C = (functools.partial(bench_rows.turns, letter=letter, rate=rate) for letter, rate in (("a", 1.0), ("b", 2.0), ("c", 4.0)))


@pytest.mark.slow
def test_sides_take_turns_and_none_always_comes_first(tmp_path):
    told: list[str] = []
    found = measure(bench_rows.row(A, B, C), Data(tmp_path, 60), 3, told.append)
    *turns, first, second, third = (tmp_path / "turns").read_text().split("\n")[:-1]
    assert turns == [*"abc", *"abc", *"cba", *"abc"]  # the first three warm up
    assert {first, second, third} == {"a closed", "b closed", "c closed"}
    assert (found.ours.rates, [other.rates for other in found.others]) == ((1, 1, 1), [(2, 2, 2), (4, 4, 4)])
    assert all(side.peak_memory > 2**20 for side in (found.ours, *found.others))
    assert "round 3 of 3: side 2" in told


@pytest.mark.slow
def test_rows_of_minutes_have_fewer_rounds_and_no_warm_up(tmp_path):
    found = measure(bench_rows.row(A, B, warm_up=False, most_rounds=1), Data(tmp_path, 60), 3)
    assert (tmp_path / "turns").read_text().split()[:2] == ["a", "b"]
    assert found.ours.rates == (1,)


@pytest.mark.slow
@pytest.mark.parametrize(("side", "why"), [(bench_rows.failing, "side 1: no such thing"), (bench_rows.ending, "side 1: its process ended")])
def test_a_side_that_fails_is_named(tmp_path, side, why):
    with pytest.raises(CxrError, match=why) as error:
        measure(bench_rows.row(A, side), Data(tmp_path, 60), 1)
    assert "and more" not in str(error.value)
