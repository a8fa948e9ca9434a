"""A disk that can be full, or read-only, when a test wants it to be."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class SmallDisk:
    """A file system of its own at a folder. Needs the right to mount."""

    def __init__(self, folder: Path):
        """Mounts it, with room for everything."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._mount("size=256m,nr_inodes=10000")

    @contextmanager
    def full(self, files: int = 0) -> Iterator[None]:
        """Not one more byte fits into it, and so many more empty files and folders."""
        now = os.statvfs(self._folder)
        used = (now.f_blocks - now.f_bfree) * now.f_frsize
        self._mount(f"remount,size={max(used, now.f_frsize)},nr_inodes={now.f_files - now.f_ffree + files}")
        try:
            yield
        finally:
            self._mount("remount,size=256m,nr_inodes=10000")

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Nothing can be written to it."""
        self._mount("remount,ro")
        try:
            yield
        finally:
            self._mount("remount,rw")

    def remove(self) -> None:
        """Takes it away with all that is in it."""
        subprocess.run(["umount", "--lazy", self._folder], check=True)

    def _mount(self, options: str) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", self._folder], check=True)


def can_mount(folder: Path) -> bool:
    """Tells whether this user may mount a file system here."""
    if shutil.which("mount") is None:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True).returncode:
        return False
    subprocess.run(["umount", folder], check=True)
    return True
