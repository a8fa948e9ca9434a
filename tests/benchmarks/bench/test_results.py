import pytest
from bench.results import REMEDY, Machine, Measured, RowResult, SideResult
from bench.table import lines, markdown

from cxr.core.errors import CxrError


def side(*rates, memory=100_000_000, name="theirs", least=1.0):
    return SideResult(name=name, rates=rates, peak_memory=memory, least=least)


def row(ours, *others):
    return RowResult(about="", unit="images/s", ours=ours, others=others)


def test_ratios_are_of_the_same_round():
    found = row(side(10, 40, 20), side(5, 10, 20))
    assert found.speed(found.others[0]) == (2, 1, 4)  # 2, 4 and 1; the ratio of the medians would be 2 too, that of the means 2.0
    found = row(side(10, 40, 90), side(30, 10, 20))
    assert found.speed(found.others[0]) == (4, pytest.approx(1 / 3), 4.5)  # not 40 by 20


def test_memory_is_that_of_ours_by_theirs():
    found = row(side(1, memory=300), side(1, memory=200))
    assert found.memory(found.others[0]) == 1.5


def test_a_line_says_what_was_missed():
    found = row(side(100, name="ours"), side(200, least=0.5), side(400, least=0.5, name="floor"), side(1000, least=None, name="shown"))
    first, second, third = lines("step", found)
    assert first == ("step", "ours", "theirs", "100 images", "200", "0.50", "0.50 to 0.50", "0.5", "100", "100")
    assert (second[:3], second[5], second[7]) == (("", "", "floor"), "0.25", "0.5 missed")
    assert third[7] == ""
    assert markdown({"step": found}).splitlines()[2:][0] == f"| {' | '.join(first)} |"


def test_results_are_read_as_they_were_written(tmp_path):
    machine = Machine(cores=2, cpu="x", memory_gib=1, busy=0, python="3", versions={"keras": "3"}, commit="", began="")
    measured = Measured(machine=machine, images="", count=60, rounds=1, rows={"step": row(side(1), side(2))}, failed=("other",))
    measured.write(tmp_path / "results.json")
    assert Measured.read(tmp_path / "results.json", REMEDY) == measured
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(CxrError, match="make bench"):
        Measured.read(tmp_path / "results.json", REMEDY)
