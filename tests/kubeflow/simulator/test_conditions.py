import pytest

from simulator.conditions import holds
from simulator.store import SimulationError

GIVEN = {"inputs": {"artifacts": {"_Evaluator.blessing": {"artifacts": [{"metadata": {"blessed": 1.0, "name": "x"}}]}}}}
BLESSED = "inputs.artifacts['_Evaluator.blessing'].artifacts[0].metadata['blessed']"


@pytest.mark.parametrize(
    ("condition", "value"),
    [
        (f"({BLESSED} == 1.0)", True),
        (f"({BLESSED} == 0.0)", False),
        (f"!({BLESSED} == 0.0)", True),
        (f"({BLESSED} > 0.0) && ({BLESSED} < 1.0)", False),
        (f"({BLESSED} > 2.0 || {BLESSED} == 1.0)", True),
    ],
)
def test_what_tfx_emits(condition, value):
    assert holds(condition, GIVEN) is value


@pytest.mark.parametrize(
    "condition", [f"({BLESSED} == 1)", f"({BLESSED} == '1')", "inputs.artifacts['other'].artifacts[0].uri == 'x'", "f(1)"]
)
def test_what_cel_refuses(condition):
    with pytest.raises(SimulationError, match="condition"):
        holds(condition, GIVEN)
