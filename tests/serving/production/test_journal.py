import json
from dataclasses import replace
from pathlib import Path

import pytest

from cxr.serving.production.journal import APPLIED, BEGUN, REFUSED, Entry, Journal
from cxr.serving.production.model_states import ALL, LATEST, SPECIFIC, ModelState


def _at(version: int) -> ModelState:
    return ModelState(SPECIFIC, versions=(version,), labels={"stable": version})


def _entry(number: int, before: int, after: int, outcome: str = APPLIED, undoes: int | None = None) -> Entry:
    return Entry(number, "rollback" if undoes else "promote", "m", _at(before), _at(after), "because", ("h:1",), outcome, undoes)


def test_entries_are_added_and_the_last_outcome_counts(tmp_path: Path):
    journal = Journal(tmp_path / "models.config")
    assert (journal.entries(), journal.next_id()) == ([], 1)
    first = _entry(1, 1, 2, BEGUN)
    journal.append(first)
    before = journal.path.read_bytes()
    journal.append(replace(first, outcome=REFUSED, error="no"))
    assert journal.path.read_bytes().startswith(before)
    assert journal.entries() == [replace(first, outcome=REFUSED, error="no")]
    assert journal.next_id() == 2
    assert first.user
    assert first.time.endswith("+00:00")


@pytest.mark.parametrize("before", [ModelState(), ModelState(LATEST, 3, labels={"stäble": 7}), ModelState(ALL), _at(5)], ids=str)
def test_an_entry_is_read_as_it_was_written(tmp_path: Path, before: ModelState):
    journal, entry = Journal(tmp_path / "models.config"), replace(_entry(7, 1, 2, undoes=6), before=before)
    journal.append(entry)
    assert journal.entries() == [entry]


@pytest.mark.parametrize(("field", "value"), [("id", "7"), ("id", None), ("before", None), ("after", {"labels": None}), ("servers", "h")])
def test_a_damaged_line_is_passed_over(tmp_path: Path, field: str, value: object):
    journal = Journal(tmp_path / "models.config")
    journal.append(_entry(1, 1, 2))
    journal.path.write_bytes(journal.path.read_bytes() + json.dumps({**_entry(2, 2, 3).to_json(), field: value}).encode() + b"\n")
    assert [entry.id for entry in journal.entries()] == [1]
    assert journal.next_id() == 2


@pytest.mark.parametrize("torn", [b'{"id": 2, "act', '{"id": 2, "reason": "schlecht für'.encode()[:-2]])
def test_a_torn_line_is_passed_over_and_does_not_spoil_the_next(tmp_path: Path, torn: bytes):
    journal = Journal(tmp_path / "models.config")
    journal.append(_entry(1, 1, 2))
    with journal.path.open("ab") as file:
        file.write(torn)
    journal.append(_entry(2, 2, 3))
    assert [entry.id for entry in journal.entries()] == [1, 2]


def _undone(journal: Journal, current: int) -> int | None:
    """Which change of m a rollback would take back."""
    found = journal.to_undo("m", _at(current))
    return found.id if found else None


def test_what_a_rollback_takes_back(tmp_path: Path):
    journal = Journal(tmp_path / "models.config")
    assert _undone(journal, 1) is None
    journal.append(_entry(1, 1, 2))
    journal.append(_entry(2, 2, 3))
    journal.append(_entry(3, 3, 4, REFUSED))
    assert _undone(journal, 3) == 2
    journal.append(_entry(4, 3, 2, undoes=2))
    assert _undone(journal, 2) == 1
    journal.append(_entry(5, 2, 5))
    assert _undone(journal, 5) == 5
    assert journal.to_undo("other", _at(5)) is None


def test_an_interrupted_change_counts_where_the_file_shows_it(tmp_path: Path):
    journal = Journal(tmp_path / "models.config")
    journal.append(_entry(1, 1, 2))
    journal.append(_entry(2, 2, 3, BEGUN))
    assert _undone(journal, 3) == 2
    assert _undone(journal, 2) == 1


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\u0085"])
def test_a_reason_may_hold_whatever_ends_a_line_elsewhere(tmp_path: Path, separator: str):
    journal = Journal(tmp_path / "models.config")
    entry = replace(_entry(1, 1, 2), reason=f"more false alarms{separator}see the ticket")
    journal.append(entry)
    assert journal.entries() == [entry]
    assert journal.next_id() == 2
