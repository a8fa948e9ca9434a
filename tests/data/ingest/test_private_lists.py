"""Lists that people open in a spreadsheet."""

import csv
import os

import pytest
from killed import killed_at

from cxr.data.ingest.private_lists import PROBLEMS, SHOWN, BadRows, folder_of, forget, shown, write, write_problems
from cxr.data.ingest.rows import Row


def test_a_name_that_a_spreadsheet_would_compute_is_text(tmp_path):
    names = ['=HYPERLINK("http://x","open")', "+1.png", "@SUM(A1)", "-2+3", "\ta.png", "plain.png"]
    rows = [Row(folder="/x", name=name, place="line", position=number, label="normal") for number, name in enumerate(names)]
    said = write_problems(tmp_path / "out", BadRows("wrong", rows))
    path = folder_of(tmp_path / "out") / PROBLEMS
    assert str(path) in said
    with path.open(newline="") as stream:
        _, *lines = csv.reader(stream)
    assert [name for _, name, _ in lines] == [f"'{name}" for name in names[:-1]] + ["plain.png"]
    assert path.stat().st_mode & 0o077 == 0


def test_the_list_says_what_is_wrong_with_each_row(tmp_path):
    rows = [Row(folder="/x", name=f"{k}.png", place="line", position=k, label="normal") for k in range(2)]
    for error, reasons in (
        (BadRows("2 rows cannot be used:", rows, reasons=["no label", "no age"]), ["no label", "no age"]),
        (BadRows("2 images are not there:", rows), ["2 images are not there"] * 2),
    ):
        write_problems(tmp_path / "out", error)
        with (folder_of(tmp_path / "out") / PROBLEMS).open(newline="") as stream:
            assert [(row["where"], row["path"], row["why"]) for row in csv.DictReader(stream)] == [
                (f"line {k}", f"{k}.png", reasons[k]) for k in range(2)
            ]


@pytest.mark.parametrize(("places", "more"), [(SHOWN, ""), (SHOWN + 2, "\n  and 2 more")])
def test_an_error_shows_the_first_places_and_says_how_many_more_there_are(tmp_path, places, more):
    texts = [f"line {number}" for number in range(places)]
    lines = "".join(f"\n  line {number}" for number in range(SHOWN))
    assert shown(texts) == f"{lines}{more}"
    assert shown(texts, tmp_path) == f"{lines}{more}\nall of them with their paths: {tmp_path}"
    assert str(BadRows("wrong:", [], texts)) == f"wrong:{lines}{more}"


def test_what_a_killed_process_left_of_a_list_is_forgotten_with_it(tmp_path):
    step = 0
    while killed_at(step, lambda: write(tmp_path / "out", PROBLEMS, ["path"], [["DOE.png"]])):
        step += 1
    left = [path for path in folder_of(tmp_path / "out").iterdir() if path.name != PROBLEMS]
    assert b"DOE" in b"".join(path.read_bytes() for path in left)
    for path in left:
        os.utime(path, (0, 0))
    forget(tmp_path / "out", PROBLEMS)
    assert list(tmp_path.iterdir()) == []
