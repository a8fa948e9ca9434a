"""ML Metadata's SQLite file before a run leans on it: whole, free, and with numbers that no artifact on disk has.

The file says which results there are: without it the cache finds none. It holds no model and no record of a push, so that whatever becomes
of it, pushed models stay served and reports readable.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from cxr.core import machine_faults
from cxr.core.errors import CxrError, UsageError
from cxr.pipeline.workspace import execution_folders

_PATIENCE = 10.0  # seconds that another program may hold the file's lock
_LONGEST = 504  # bytes of a path that SQLite opens: 512 less those of its journal's ending
_LOCKED = ("database is locked", "Concurrent writes aborted")  # SQLite's and ML Metadata's words
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_NO_WRITING = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)


def prepare(file: Path, artifacts: Path) -> str:
    """Makes a file that is missing, and has executions numbered above all that artifacts were ever written under.

    TFX writes an artifact to `<node>/<output>/<number of the execution>`. A new file counts from one again, and so does an older one that
    was put back: the next artifacts would be mixed with what lies there, which reports and pushed models refer to.

    Args:
      file: ML Metadata's.
      artifacts: TFX's pipeline root.

    Returns:
      What the user should know; empty: nothing.

    Raises:
      CxrError: See `check`.
    """
    from tfx.orchestration import metadata  # seconds, which `check` need not wait for

    check(file)
    highest = max((int(folder.name) for folder in execution_folders(artifacts)), default=0)
    new = not file.is_file() or file.stat().st_size == 0
    file.touch()  # SQLite would let nobody but its maker write it, whatever the umask
    with metadata.Metadata(metadata.sqlite_metadata_connection_config(str(file))):  # makes the tables
        pass
    with closing(_open(file)) as database:
        (last,) = database.execute("SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence WHERE name = 'Execution'").fetchone()
        if last < highest:
            database.execute("DELETE FROM sqlite_sequence WHERE name = 'Execution'")
            database.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('Execution', ?)", (highest,))
    if new and highest:
        return (
            f"{file}: is gone or empty, and with it what the cache knew: every node runs again, beside the earlier artifacts in "
            f"{artifacts}. Pushed models stay as they are"
        )
    return ""


def check_path(file: Path) -> None:
    """Refuses a file that SQLite could not open.

    Raises:
      UsageError: Its path is too long.
    """
    if (length := len(os.fsencode(file))) > _LONGEST:
        raise UsageError(f"{file}: this path has {length} bytes, and SQLite opens none of more than {_LONGEST}; name a shorter --workspace")


def check(file: Path, *, write: bool = True) -> None:
    """Makes sure that ML Metadata can read and write its file, where there is one.

    Args:
      file: ML Metadata's.
      write: False: it is only to be read.

    Raises:
      CxrError: It is damaged, locked by another program, or may not be written; nothing was changed.
    """
    if not file.is_file():
        return
    try:
        with closing(_open(file, write)) as database:
            if write:
                database.execute("BEGIN IMMEDIATE")
                database.execute("CREATE TABLE tried (it INTEGER)")  # of a file that is read-only SQLite says so at the first change
            (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
            if write:
                database.execute("ROLLBACK")
    except sqlite3.Error as error:
        code = error.sqlite_errorcode & 0xFF  # the rest says where in SQLite
        if code == sqlite3.SQLITE_BUSY:
            raise CxrError(_locked(file, f"for {_PATIENCE:.0f} s")) from None
        if code in _NO_WRITING:
            raise CxrError(f"{file}: cannot be written ({error}); give the right to, or name another --workspace") from None
        if code not in _DAMAGED:
            raise CxrError(machine_faults.explained(error, file) or f"{file}: cannot be used ({error})") from None
        found = str(error)
    if found != "ok":
        raise CxrError(_damaged(file, found.splitlines()[-1]))


def explained(error: Exception, file: Path) -> str | None:
    """Returns the message for what ML Metadata raises where its file is at fault; None for anything else.

    Args:
      error: Of a node.
      file: ML Metadata's.
    """
    text = str(error)
    if any(words in text for words in _LOCKED):
        return _locked(file, "while this node waited")
    if any(words in text for words in ("database disk image is malformed", "file is not a database")):
        return _damaged(file, "while the run went on")
    return None


def _locked(file: Path, how: str) -> str:
    return (
        f"{file}: another program held it locked {how} (`fuser {file}` names it: a backup, a viewer); "
        "end that, then run the same command again"
    )


def _damaged(file: Path, how: str) -> str:
    return (
        f"{file}: is damaged ({how}). Put a copy of it back, or move it away (mv {file} {file}.damaged): then every node runs once more. "
        "Pushed models, reports and earlier artifacts do not need it"
    )


def _open(file: Path, write: bool = True) -> sqlite3.Connection:
    place = file.absolute().as_uri() + ("" if write else "?mode=ro")
    return sqlite3.connect(place, timeout=_PATIENCE, isolation_level=None, uri=True)
