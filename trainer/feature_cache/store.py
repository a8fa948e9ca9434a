"""The feature cache: rows of float32 under keys, in groups by what made them. Bounded, shared by processes; no run fails because of it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import Field

from cxr.core.durable import remove_left_over
from cxr.core.stored_rows import StoredRows
from cxr.core.strict_model import StrictModel
from cxr.trainer.feature_cache import shards
from cxr.trainer.feature_cache.shards import Keys, Rows

ABOUT = "about.json"
FEATURES, STATISTICS, STABILITY, ANSWERS = "features", "batch statistics", "stability", "answers"  # kinds of groups


class GroupInfo(StrictModel):
    """What a group holds, for people."""

    kind: str = Field(description="features; batch statistics; stability; answers")
    backbone: str = Field(description="of an ensemble's answers: its name")
    image_size: int = Field(description="of the images that come in, pixels")


@dataclass(frozen=True)
class Shard:
    """A file of the cache."""

    file: Path
    size: int  # bytes
    used: float  # seconds since 1970

    def remove(self) -> None:
        """Removes it; a group without files goes too.

        Raises:
          OSError: It may not be removed.
        """
        self.file.unlink(missing_ok=True)
        if next(self.file.parent.glob(shards.NAMES), None) is None:
            (self.file.parent / ABOUT).unlink(missing_ok=True)
            with suppress(OSError):  # another process writes there again
                self.file.parent.rmdir()


class Store:
    """A folder of features.

    Attributes:
      notes: What a user should know: why nothing is kept, what was damaged. Each is there once.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """Touches nothing.

        Args:
          folder: Of the cache; made when something is kept.
          max_bytes: It may take so much; what has not been used for longest goes first.
        """
        self.notes: list[str] = []
        self._folder, self._max_bytes = folder, max_bytes
        self._own: set[Path] = set()  # read or written by this process: removing these would make the next run compute them again
        self._writes = True

    def group(self, fingerprint: str, about: GroupInfo) -> Group:
        """Returns the rows of one maker.

        Args:
          fingerprint: Of all that the rows hang on besides their keys.
          about: For people.
        """
        return Group(self, self._folder / f"{fingerprint}-{about.kind.replace(' ', '-')}", about)

    def note(self, text: str) -> None:
        """Remembers what a user should know."""
        if text not in self.notes:
            self.notes.append(text)

    def used(self, file: Path) -> None:
        """Remembers that a file was used, for this process and for those that look for what was not."""
        self._own.add(file)
        with suppress(OSError):
            file.touch()

    def add(self, folder: Path, about: GroupInfo, keys: Keys, rows: Rows | StoredRows) -> None:
        """Keeps rows, as far as there is room."""
        for some, of_them in shards.parts(keys, rows):
            try:
                if not self._writes or not self._make_room(shards.size_of(some, of_them)):
                    return
                if not (folder / ABOUT).exists():
                    about.write(folder / ABOUT)
                self._own.add(shards.write(folder, some, of_them))
            except OSError as error:
                self._writes = False
                self.note(f"feature cache {self._folder}: cannot be written ({error.strerror}); what is computed now is not kept")

    def _make_room(self, size: int) -> bool:
        """Removes what has not been used for longest, not what this run itself uses; tells whether there is room."""
        most = self._max_bytes - size
        room = evict(self._folder, most, spared=self._own).kept <= most
        if not room:
            self.note(f"feature cache {self._folder}: full with this run's features; raise feature_cache.max_gigabytes to keep all of them")
        return room


class Group:
    """The rows of one maker; see `Store.group`."""

    def __init__(self, store: Store, folder: Path, about: GroupInfo) -> None:
        self._store, self._folder, self._about = store, folder, about

    def read(self, keys: list[bytes], width: int) -> tuple[StoredRows, npt.NDArray[np.bool_]]:
        """Returns rows that are kept.

        Args:
          keys: Of the wanted ones; the same one may be there several times.
          width: Of a row.

        Returns:
          float32 [keys, width] on disk, and bool [keys]: which of them were found; the others are not there.
        """
        rows, found = StoredRows.empty(len(keys), (width,), np.float32), np.zeros(len(keys), bool)
        wanted = _Wanted(shards.as_keys(keys))
        for file in sorted(self._folder.glob(shards.NAMES)):
            if found.all():
                break
            try:
                self._take(file, wanted, rows, found)
            except FileNotFoundError:  # another process has just removed it
                continue
            except OSError as error:
                self._store.note(f"feature cache {self._folder.parent}: cannot be read ({error.strerror}); its part is computed again")
        return rows, found

    def add(self, keys: list[bytes], rows: Rows | StoredRows) -> None:
        """Keeps rows, float32 [keys, width]; where that fails, `Store.notes` says so."""
        self._store.add(self._folder, self._about, shards.as_keys(keys), rows)

    def _take(self, file: Path, wanted: _Wanted, rows: StoredRows, found: npt.NDArray[np.bool_]) -> None:
        table = shards.read(file, rows.shape[1])
        if table is None:
            self._drop(file, "a file")
            return
        damaged, taken = 0, False
        for (one, row, check), positions in zip(zip(*table, strict=True), wanted.positions(table[0]), strict=True):
            if not positions.size or found[positions[0]]:
                continue
            if not shards.valid(one, row, check):
                damaged += 1
                continue
            rows[positions], found[positions], taken = row, True, True
        if damaged:
            whole = np.array([shards.valid(*entry) for entry in zip(*table, strict=True)])
            self._store.add(self._folder, self._about, table[0][whole], table[1][whole])
            self._drop(file, "a row" if damaged == 1 else f"{damaged} rows")
        elif taken:
            self._store.used(file)

    def _drop(self, file: Path, what: str) -> None:
        self._store.note(f"feature cache {self._folder.parent}: {what} of {self._about.backbone} was damaged, and is computed again")
        with suppress(OSError):
            file.unlink(missing_ok=True)


class _Wanted:
    """Tells where the keys of a file stand among the wanted ones. Arrays: an entry of a dictionary takes ten times as much."""

    def __init__(self, keys: Keys) -> None:
        comparable = _comparable(keys)
        self._order = np.argsort(comparable, kind="stable")
        self._sorted = comparable[self._order]

    def positions(self, keys: Keys) -> Iterator[npt.NDArray[np.int64]]:
        """Yields the positions of each key, none where it is not wanted."""
        begins, ends = (np.searchsorted(self._sorted, _comparable(keys), side) for side in ("left", "right"))
        return (self._order[begin:end] for begin, end in zip(begins, ends, strict=True))


def _comparable(keys: Keys) -> npt.NDArray[np.bytes_]:
    """Returns keys as what NumPy can sort; all of one length, so that the zeros at their ends count."""
    return np.ascontiguousarray(keys).view(f"S{shards.KEY_BYTES}")


def files_in(folder: Path) -> Iterator[Shard]:
    """Yields the files of a cache; what killed processes left half-written is removed on the way. A stranger's files are passed over."""
    for group in folder.glob("*/"):
        remove_left_over(group, shards.NAMES)
        for file in group.glob(shards.NAMES):
            with suppress(OSError):  # gone, or not ours to look at
                stat = file.stat()
                yield Shard(file, stat.st_size, stat.st_mtime)


@dataclass(frozen=True)
class Evicted:
    """What `evict` did."""

    files: int  # that went
    freed: int  # bytes
    kept: int  # bytes


def evict(folder: Path, most: float = math.inf, *, unused_since: float = -math.inf, spared: Collection[Path] = ()) -> Evicted:
    """Removes files of a cache, what has not been used for longest first.

    Args:
      folder: Of the cache.
      most: Bytes that may be kept.
      unused_since: What was last used before goes however little is kept, seconds since 1970.
      spared: Files that stay.

    Raises:
      OSError: A file may not be removed.
    """
    found = sorted(files_in(folder), key=lambda one: one.used)
    kept, files, freed = sum(one.size for one in found), 0, 0
    for one in found:
        if one.file not in spared and (kept > most or one.used < unused_since):
            one.remove()
            kept, files, freed = kept - one.size, files + 1, freed + one.size
    return Evicted(files, freed, kept)
