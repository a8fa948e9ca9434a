"""ML Metadata's own file, made by ML Metadata, then damaged, locked, deleted."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys

import pytest
from tfx.orchestration import metadata

from cxr.core.errors import CxrError, UsageError
from cxr.pipeline import metadata_file

HOLD = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    file = tmp_path_factory.mktemp("made") / "metadata.db"
    with metadata.Metadata(metadata.sqlite_metadata_connection_config(str(file))):
        pass
    return file


@pytest.fixture
def file(made, tmp_path):
    return shutil.copy(made, tmp_path / "metadata.db")


def highest(file):
    with contextlib.closing(sqlite3.connect(file)) as database:
        return database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'Execution'").fetchall()


@contextlib.contextmanager
def locked(file):
    """By another process, which is where SQLite's locks are told apart."""
    with subprocess.Popen([sys.executable, "-c", HOLD, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "held\n"
        try:
            yield
        finally:
            holder.stdin.close()


def flipped(file):
    with open(file, "r+b") as stream:
        stream.seek(file.stat().st_size // 2)
        stream.write(os.urandom(5000))


@pytest.mark.parametrize(
    "damage",
    [
        flipped,
        lambda file: os.truncate(file, file.stat().st_size // 2),
        lambda file: os.truncate(file, 100),
        lambda file: file.write_text("no database\n" * 1000),
    ],
    ids=["flipped", "cut", "header", "text"],
)
def test_a_damaged_file_is_named_with_what_to_do_and_left_alone(file, damage, tmp_path):
    damage(file)
    before = file.read_bytes()
    with pytest.raises(CxrError, match=r"metadata\.db: is damaged .* move it away \(mv .* Pushed models.* do not need it"):
        metadata_file.check(file)
    with pytest.raises(CxrError, match="is damaged"):
        metadata_file.prepare(file, tmp_path / "tfx")
    assert file.read_bytes() == before


def test_a_locked_file_is_waited_for_then_named(file, monkeypatch):
    monkeypatch.setattr(metadata_file, "_PATIENCE", 0.2)
    with (
        locked(file),
        pytest.raises(CxrError, match=r"metadata\.db: another program held it locked for .*fuser.*run the same command again"),
    ):
        metadata_file.check(file)
    metadata_file.check(file)


def test_a_file_that_may_not_be_written_is_named(file):
    if os.getuid() == 0:
        if subprocess.run(["chattr", "+i", file], capture_output=True).returncode:
            pytest.skip("root may write whatever its mode says, and this file system knows no immutable files")
    else:
        file.chmod(0o444)
    try:
        with pytest.raises(CxrError, match=r"metadata\.db: cannot be written"):
            metadata_file.check(file)
        metadata_file.check(file, write=False)
    finally:
        if os.getuid() == 0:
            subprocess.run(["chattr", "-i", file], check=True)


def test_a_full_disk_is_told_as_everywhere(file, monkeypatch):
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    monkeypatch.setattr(metadata_file, "_open", lambda *_: (_ for _ in ()).throw(error))
    with pytest.raises(CxrError, match=r"metadata\.db: No space left on device; make room there"):
        metadata_file.check(file)


@pytest.mark.parametrize("state", ["deleted", "empty", "older"])
def test_executions_are_numbered_above_every_artifact_that_is_there(file, tmp_path, state):
    for number in (3, 77):
        (tmp_path / "tfx" / "Trainer-one" / "model" / str(number)).mkdir(parents=True)
    (tmp_path / "tfx" / "Trainer-one" / ".system" / "executor_execution" / "99").mkdir(parents=True)
    if state != "older":
        os.truncate(file, 0)
    if state == "deleted":
        file.unlink()
    said = metadata_file.prepare(file, tmp_path / "tfx")
    assert highest(file) == [(77,)]
    assert said == "" if state == "older" else "every node runs again" in said
    assert metadata_file.prepare(file, tmp_path / "tfx") == ""


def test_a_path_that_sqlite_cannot_open_is_refused(tmp_path, monkeypatch):
    def of_length(length):
        folder = tmp_path / ("x" * 200) / ("y" * (length - len(str(tmp_path)) - 200 - len("///metadata.db")))
        folder.mkdir(parents=True)
        return folder / "metadata.db"

    longest, longer = of_length(504), of_length(505)
    metadata_file.check_path(longest)
    assert metadata_file.prepare(longest, tmp_path / "tfx") == ""
    with pytest.raises(UsageError, match=r"this path has 505 bytes, and SQLite opens none of more than 504; name a shorter --workspace"):
        metadata_file.check_path(longer)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # TFX tries ten times
    with pytest.raises(RuntimeError, match="unable to open database file"):
        metadata_file.prepare(longer, tmp_path / "tfx")


def test_a_first_run_is_told_nothing(tmp_path):
    assert metadata_file.prepare(tmp_path / "metadata.db", tmp_path / "tfx") == ""


def test_ml_metadata_s_own_words_are_explained(file):
    for text, words in (
        ("Concurrent writes aborted after max number of retries.", "held it locked while this node waited"),
        ("Error when executing query: database disk image is malformed query: SELECT", "is damaged"),
    ):
        assert words in str(metadata_file.explained(RuntimeError(text), file))
    assert metadata_file.explained(RuntimeError("no such node"), file) is None
