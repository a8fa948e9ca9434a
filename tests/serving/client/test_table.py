"""The table of `cxr predict`: the answer can be read in a narrow terminal too."""

import io

import pytest
from rich.console import Console

from cxr.core import features
from cxr.serving.client.errors import RequestFailed
from cxr.serving.client.predictions import Failure, Prediction
from cxr.serving.client.table import table

SHARES = {"covid19": 0.869, "pneumonia": 0.03, "normal": 0.101}


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_answer_and_classes_are_never_cut(columns):
    members = dict.fromkeys(("densenet201", "efficientnetb7", "mobilenet"), SHARES)
    rows = [Prediction(f"studies/{number}.png", "covid19", SHARES, members, "ensemble", 17, outside=number == 1) for number in range(2)]
    console = Console(file=io.StringIO(), width=columns)
    console.print(table(rows, columns))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    lines = shown.splitlines()
    assert all(len(line) <= columns for line in lines)
    heads = next(line for line in lines if "label" in line)
    assert all(name in heads for name in SHARES)
    answers = [line for line in lines if "86.9%" in line]
    assert len(answers) == 2
    assert all("covid19" in line for line in answers)
    assert "…" not in shown
    assert all(word in shown for word in features.OUTSIDE_SAID.split())  # folded between words at most
    assert ("mobilenet" in shown) == ("--json" not in shown) == (columns > 80)


def test_a_line_break_in_a_name_does_not_tear_the_table():
    rows: list[Prediction | Failure] = [
        Prediction("a\nb\x1b[2J.png", "covid19", SHARES, {}, "ensemble", 17),
        Failure("c\nd.png", RequestFailed("unreadable")),
    ]
    console = Console(file=io.StringIO(), width=200)
    console.print(table(rows, 200))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert r"a\nb\x1b[2J.png" in shown
    assert r"c\nd.png" in shown
