"""A bounded number of inputs to every target, the same ones in every run; `make fuzz` gives thousands, and looks at what they reach."""

from __future__ import annotations

from functools import cache
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .harness import Target, TooLarge, TooSlow, attempt
from .inputs import MAX_EDITS, Edit, edited
from .targets import TARGETS, make_target

pytestmark = pytest.mark.seconds

INPUTS = {"records": 20, "outside": 20, "configuration": 60, "dicom": 120, "archive": 60}  # each takes longer there
OTHERS = 200
_made = cache(make_target)
_edits = st.lists(st.builds(Edit, st.integers(0, 255), st.floats(0, 1), st.integers(0, 2**32 - 1)), max_size=MAX_EDITS)


def bases(target: Target) -> st.SearchStrategy[bytes]:
    seeds = st.sampled_from(target.seeds)
    return seeds if target.make is None else st.one_of(seeds, st.builds(target.make, st.builds(Random, st.integers(0, 2**32 - 1))))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TARGETS)
def test_hostile_inputs_are_read_or_refused(name):
    target = _made(name)

    @settings(
        max_examples=INPUTS.get(name, OTHERS), derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(bases(target), _edits)
    def run(base: bytes, edits: list[Edit]) -> None:
        attempt(target, edited(base, edits))

    for seed in target.seeds:
        attempt(target, seed)
    run()


def test_what_takes_too_long_or_too_much_fails():
    def hang(data: bytes) -> None:
        try:
            while True:
                pass
        except Exception:  # a reader that catches everything hides no hang
            return

    def grow(data: bytes) -> None:
        assert sum(bytearray(b"x" * 2**26)[::4096])

    with pytest.raises(TooSlow):
        attempt(Target(hang, (), seconds=0.05), b"")
    with pytest.raises(TooLarge):
        attempt(Target(grow, (), megabytes=16), b"")
    assert attempt(Target(lambda data: None, ()), b"") < 2**20
