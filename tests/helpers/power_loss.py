"""A disk that may lose power at any moment: what it would hold then, and whether a reader gets along with that."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


class Disk:
    """Follows the calls of `os.fsync` and renaming below a folder.

    After each of them the power is lost twice: names that were given since their folder was brought to disk are there, or they are not. In
    both cases a file holds what it held when it was last brought to disk, and nothing if it never was. What lies there at the beginning
    is on the disk.
    """

    def __init__(self, root: Path, crashes: Path, check: Callable[[Path], None]) -> None:
        """Takes the folder, where the copies are made (with room for many), and who reads one."""
        self._root, self._crashes, self._check = root, crashes, check
        self._contents: dict[int, bytes] = {}  # by number of the inode
        self._names: dict[int, dict[str, int]] = {}
        self._held: list[int] = []  # open, so that no number comes again
        self.losses, self._reading = 0, False
        for folder, _, files in os.walk(root):
            self.brought(folder)
            for file in files:
                self.brought(os.path.join(folder, file))

    def brought(self, path: str) -> None:
        """Keeps what a file or a folder holds now."""
        handle = os.open(path, os.O_RDONLY)
        self._held.append(handle)
        number = os.fstat(handle).st_ino
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            self._names[number] = {entry.name: entry.inode() for entry in os.scandir(path)}
        else:
            self._contents[number] = Path(path).read_bytes()

    def lose_power(self) -> None:
        """Makes both copies, and has them read; what the reader does costs no power."""
        if self._reading:
            return
        self._reading = True
        for name, entries in (("named", self._present), ("unnamed", self._durable)):
            copy = self._crashes / f"{self.losses:04d}-{name}"
            self._copied(self._root.stat().st_ino, self._root, copy, entries)
            self._check(copy)
        self.losses += 1
        self._reading = False

    def close(self) -> None:
        """Lets the files go."""
        for handle in self._held:
            os.close(handle)

    def _present(self, number: int, folder: Path | None) -> dict[str, int]:
        del number
        return {entry.name: entry.inode() for entry in os.scandir(folder)} if folder else {}

    def _durable(self, number: int, folder: Path | None) -> dict[str, int]:
        del folder
        return self._names.get(number, {})

    def _copied(self, number: int, real: Path | None, copy: Path, entries: Callable[[int, Path | None], dict[str, int]]) -> None:
        copy.mkdir(parents=True)
        for name, entry in entries(number, real).items():
            below = real / name if real and entries == self._present else None
            if entry in self._names or (below and below.is_dir()):
                self._copied(entry, below, copy / name, entries)
            else:
                (copy / name).write_bytes(self._contents.get(entry, b""))


@contextmanager
def losing_power(root: Path, crashes: Path, check: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """Loses power after each step of the block that a disk sees.

    Args:
      root: What lies below it is on the disk that loses power.
      crashes: For the copies: what `root` would be after each loss.
      check: Reads a copy.
      monkeypatch: For `os`.
    """
    disk = Disk(root, crashes, check)

    def followed(call: Callable[..., Any], after: Callable[..., None] = lambda *args: None) -> Callable[..., Any]:
        def step(*args: Any, **options: Any) -> Any:
            result = call(*args, **options)
            after(*args)
            disk.lose_power()
            return result

        return step

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", followed(os.fsync, lambda handle: disk.brought(os.readlink(f"/proc/self/fd/{handle}"))))
        for name in ("rename", "replace", "link", "unlink", "rmdir"):
            patch.setattr(os, name, followed(getattr(os, name)))
        try:
            yield disk
        finally:
            disk.close()
