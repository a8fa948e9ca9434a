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


LONG = "infection à SARS-CoV-2 confirmée par RT-PCR, avec opacités bilatérales en verre dépoli (« COVID-19 »)"


def _shown(shares, columns):
    rows = [Prediction(f"{number}.png", max(shares, key=shares.get), shares, {}, "ensemble", 17) for number in range(2)]
    console = Console(file=io.StringIO(), width=columns)
    console.print(table(rows, columns))
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_a_long_name_of_a_class_hides_no_image_and_no_probability(columns):
    shown = _shown({LONG: 0.869, "pneumonia": 0.03, "normal": 0.101}, columns)
    assert all(len(line) <= columns for line in shown.splitlines())
    assert all(f"{number}.png" in shown for number in range(2))
    assert all(shown.count(share) == 2 for share in ("86.9%", "3.0%", "10.1%"))
    assert "…" not in shown
    assert "--json" not in shown


def test_more_classes_than_there_is_room_for_are_left_out_with_a_word():
    shown = _shown({f"finding {number}": 1 / 20 + (number == 3) * 0.01 for number in range(20)}, 80)
    assert all(f"{number}.png" in shown for number in range(2))
    assert shown.count("finding 3") == 2
    assert "%" not in shown
    assert "the probabilities: in a wider terminal, or with --json" in " ".join(shown.split())


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


def test_rows_name_the_version_where_another_took_over():
    members = dict.fromkeys(("densenet201", "mobilenet"), SHARES)
    rows = [Prediction(f"{version}.png", "covid19", SHARES, members, "ensemble", version) for version in (17, 1795981993)]
    for columns in (60, 80, 200):
        console = Console(file=io.StringIO(), width=columns)
        console.print(table(rows, columns))
        lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
        assert all(len(line) <= columns for line in lines)
        assert any("version" in line.split() for line in lines[1:])
        told = [line.split() for line in lines if "covid19" in line and "86.9%" in line]
        assert [cells[cells.index("covid19") + 1] for cells in told] == ["17", "1795981993"]
    assert "version" not in [column.header for column in table(rows[:1], 80).columns]
