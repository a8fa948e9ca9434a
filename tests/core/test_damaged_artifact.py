import pytest

from cxr.core.damaged_artifact import reading
from cxr.core.errors import CxrError


@pytest.mark.parametrize(
    ("error", "reason"),
    [(KeyError("evalConfig"), "KeyError: 'evalConfig'"), (EOFError("No data left in file"), "EOFError: No data left in file")],
)
def test_whatever_a_library_raises_has_a_remedy(error, reason):
    with pytest.raises(CxrError) as raised, reading("tfx/Evaluator-ensemble/evaluation/22"):
        raise error
    remedy = "remove this folder, and the next run makes it anew"
    assert str(raised.value) == f"tfx/Evaluator-ensemble/evaluation/22: cannot be read ({reason}); {remedy}"
    assert raised.value.__cause__ is error


def test_only_the_first_line_is_told():
    with pytest.raises(CxrError, match=r"\(ValueError: first\); remove"), reading("folder"):
        raise ValueError("first\nsecond")


@pytest.mark.parametrize("error", [CxrError("in words already"), MemoryError(), KeyboardInterrupt()])
def test_what_is_no_damage_passes(error):
    with pytest.raises(type(error)) as raised, reading("folder"):
        raise error
    assert raised.value is error
