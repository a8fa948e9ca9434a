"""Lists that people open in a spreadsheet."""

import csv

from cxr.data.ingest.private_lists import PROBLEMS, BadRows, folder_of, write_problems
from cxr.data.ingest.rows import Row


def test_a_name_that_a_spreadsheet_would_compute_is_text(tmp_path):
    names = ['=HYPERLINK("http://x","open")', "+1.png", "@SUM(A1)", "-2+3", "\ta.png", "plain.png"]
    rows = [Row(path=f"/x/{name}", name=name, where=f"line {number}", label="normal") for number, name in enumerate(names)]
    said = write_problems(tmp_path / "out", BadRows("wrong", rows))
    path = folder_of(tmp_path / "out") / PROBLEMS
    assert str(path) in said
    with path.open(newline="") as stream:
        _, *lines = csv.reader(stream)
    assert [name for _, name in lines] == [f"'{name}" for name in names[:-1]] + ["plain.png"]
    assert path.stat().st_mode & 0o077 == 0
