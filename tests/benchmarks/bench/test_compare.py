import sys

import pytest
from bench import compare
from bench.results import Machine, Measured, RowResult, SideResult

from cxr.core import exit_codes


def measured(*ratios, memory=100, cores=2, rows=("step",)):
    machine = Machine(cores=cores, cpu="x", memory_gib=1, busy=0, python="3", versions={}, commit="", began="")
    ours = SideResult(name="ours", rates=ratios, peak_memory=memory)
    theirs = SideResult(name="theirs", rates=[1.0] * len(ratios), peak_memory=100)
    row = RowResult(about="", unit="", ours=ours, others=(theirs,))
    return Measured(machine=machine, images="", count=60, rounds=len(ratios), rows=dict.fromkeys(rows, row))


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        ((1.0, 1.1, 1.2), (1.0, 1.1, 1.2), ""),
        ((1.0, 1.1, 1.2), (0.7, 0.8, 0.9), "slower"),
        ((1.0, 1.1, 1.2), (0.7, 0.8, 1.0), ""),  # the ranges meet
        ((1.0, 1.08, 1.2), (0.6, 0.98, 0.99), ""),  # they do not, but the medians differ by less than a tenth
        ((1.0, 1.1, 1.2), (1.3, 1.4, 1.5), "faster"),
    ],
)
def test_a_row_is_worse_where_all_its_rounds_are_and_by_more_than_a_tenth(old, new, verdict):
    (change,) = compare.changes(measured(*old), measured(*new))
    assert (change.verdict, change.worse) == (verdict, verdict == "slower")


def test_more_memory_is_worse_too():
    assert [change.verdict for change in compare.changes(measured(1), measured(1, memory=115))] == [""]
    (change,) = compare.changes(measured(1.0), measured(2.0, memory=120))
    assert (change.verdict, change.worse) == ("faster, more memory", True)


def test_what_makes_runs_hard_to_compare_is_told():
    found = compare.differences(measured(1, rows=("a", "b")), measured(1, cores=4, rows=("b", "c")))
    assert found == ["cores: 2 then, 4 now", "not in both: a, c"]
    assert not list(compare.changes(measured(1, rows=("a",)), measured(1, rows=("c",))))


@pytest.mark.parametrize(("new", "code", "says"), [(1.0, exit_codes.OK, "nothing is worse"), (0.5, exit_codes.REFUSED, "worse: step")])
def test_the_exit_code_says_how_it_came_out(tmp_path, monkeypatch, capsys, new, code, says):
    files = tmp_path / "old.json", tmp_path / "new.json"
    for file, ratio in zip(files, (1.0, new), strict=True):
        measured(ratio).write(file)
    monkeypatch.setattr(sys, "argv", ["compare", *map(str, files)])
    with pytest.raises(SystemExit) as ended:
        compare.main()
    assert (ended.value.code, says in capsys.readouterr().out) == (code, True)


def test_without_a_new_file_the_newest_is_taken(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    measured(1.0).write(tmp_path / "old.json")
    monkeypatch.setattr(sys, "argv", ["compare", "old.json"])
    with pytest.raises(SystemExit) as ended:
        compare.main()
    assert ended.value.code == exit_codes.USAGE
    assert "make bench" in capsys.readouterr().err
    for name, ratio in (("20260101T000000.json", 1.0), ("20260102T000000.json", 0.5)):
        measured(ratio).write(compare.KEPT / name)
    with pytest.raises(SystemExit) as ended:
        compare.main()
    assert ended.value.code == exit_codes.REFUSED
