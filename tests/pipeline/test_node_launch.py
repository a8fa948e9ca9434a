import pytest

from cxr.core.errors import CxrError
from cxr.pipeline.node_launch import _innermost

pytestmark = pytest.mark.seconds


def raised(*errors: Exception) -> Exception:
    """Chains errors, the outermost first."""
    for outer, inner in zip(errors, errors[1:], strict=False):
        outer.__cause__ = inner
    return errors[0]


def test_an_error_of_ours_is_told_with_its_remedy_and_of_others_the_first_one():
    ours = CxrError("the machine is busy; run it again")
    assert _innermost(raised(RuntimeError("while running"), ours, OSError("raw words"))) == str(ours)
    assert _innermost(raised(RuntimeError("while running"), ValueError("what went wrong"))) == "what went wrong"
