import errno
import os
from pathlib import Path

import pytest

from cxr.core.file_sizes import sizes_of, what_changed


@pytest.fixture
def place(tmp_path):
    for name, text in {"b/y": "four", "b/x": "", "a": "one"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "empty").mkdir()
    (tmp_path / "nowhere").symlink_to("gone")
    return tmp_path


def test_files_below_a_folder_a_file_and_nothing(place):
    assert list(sizes_of(place).items()) == [("a", 3), ("b/x", 0), ("b/y", 4)]
    assert sizes_of(place / "b/y") == {"y": 4}
    assert sizes_of(place / "nowhere") == sizes_of(place / "empty") == {}


def test_what_cannot_be_looked_at_is_not_taken_for_missing(place, monkeypatch):
    """A folder of another user, or a network's disk that does not answer: its artifacts would be given up for everybody."""
    written, look = sizes_of(place), os.scandir

    def refused(folder):
        if Path(folder) == place / "b":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        return look(folder)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(PermissionError):
        what_changed(written, place)


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        (lambda place: (place / "b/x").unlink(), "b/x is missing"),
        (lambda place: os.truncate(place / "b/y", 1_003), "b/y has 1,003 bytes in place of the 4 that were written"),
        (lambda place: (place / "c").write_text("new"), ""),
        (lambda place: None, ""),
    ],
    ids=["missing", "longer", "added", "nothing"],
)
def test_what_became_of_them(place, harm, what):
    written = sizes_of(place)
    harm(place)
    assert what_changed(written, place) == what
