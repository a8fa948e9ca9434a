"""Downloads one file: resumed, repeated, compared with what is published and with the lock; has its name only when all is right."""

from __future__ import annotations

import errno
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.filesize import decimal

from cxr.core.counts import how_many
from cxr.data.fetch.catalogue import Remote
from cxr.data.fetch.checksums import agrees, digests
from cxr.data.fetch.connection import Connection, body, shown
from cxr.data.fetch.credentials import kaggle_authorization
from cxr.data.fetch.errors import FetchError, Transient
from cxr.data.fetch.lock_file import Locked, LockFile
from cxr.data.fetch.partial import Partial

ATTEMPTS = 6  # in a row that brought nothing
LONGEST_WAIT = 300.0  # seconds; a server that asks for more is not waited for

Begin = Callable[[int | None], Callable[[int], None]]  # told a file's bytes, returns what is told how many more are there


class Downloader:
    """Downloads files into one folder."""

    def __init__(self, folder: Path, lock: LockFile, console: Console, pause: Callable[[float], None] = time.sleep):
        """Args: where files go; what is known of them; for remarks; how to wait, in seconds."""
        self.folder = folder
        self._lock, self._console, self._pause = lock, console, pause
        self._connection = Connection()

    def download(self, remote: Remote, begin: Begin) -> Path:
        """Brings a file here, or finds that it is here.

        Args:
          remote: The file.
          begin: For progress.

        Returns:
          The file.

        Raises:
          FetchError: It cannot be had. What arrived so far is kept, and the next call goes on from there.
        """
        target = self.folder / remote.name
        if not target.resolve().is_relative_to(self.folder.resolve()):  # names of images come from a collection's own table
            raise FetchError(f"{shown(remote.url)}: its name leads out of {self.folder}; not downloaded")
        locked = self._lock.get(remote.name)
        if target.is_file():
            if locked and locked.size == target.stat().st_size and digests(target)["sha256"] == locked.sha256:
                begin(locked.size)(locked.size)
                return target
            target.unlink()
        authorization = kaggle_authorization() if remote.kaggle else None
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            return self._until_whole(remote, target, locked, authorization, begin)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise FetchError(f"{self.folder}: the disk is full; make room and call the same command again, it goes on") from None
            raise FetchError(f"{self.folder}: cannot be written ({error.strerror}); check the permissions") from None

    def _until_whole(self, remote: Remote, target: Path, locked: Locked | None, authorization: str | None, begin: Begin) -> Path:
        partial, failures, best, wrong = Partial(target, remote.url), 0, 0, 0
        progress = _Progress(begin)
        compared = remote.checksum is not None or locked is not None
        while True:
            try:
                if not (compared or partial.state.validator or partial.state.md5):
                    partial.clear()  # nothing would tell if the rest were that of another file
                self._attempt(remote, partial, authorization, progress)
                found = self._verified(remote, partial, locked)
            except Transient as problem:
                if partial.size > best:
                    best, failures = partial.size, 0
                failures += 1
                wrong += isinstance(problem, _Wrong)
                if failures == ATTEMPTS or wrong == 2:
                    tried = how_many(failures, "attempt")
                    raise FetchError(
                        f"{shown(remote.url)}: {problem.reason} ({tried}); call the same command again later, it goes on"
                    ) from None
                wait = problem.wait if problem.wait is not None else 2.0 ** (failures - 2) * random.uniform(0.8, 1.2)
                if wait > LONGEST_WAIT:
                    raise FetchError(
                        f"{shown(remote.url)}: {problem.reason} and asks for {wait / 60:.0f} minutes; call the same command again then"
                    ) from None
                self._console.print(f"{shown(remote.url)}: {problem.reason}; again in {wait:.0f} s", highlight=False, soft_wrap=True)
                self._pause(wait)
                continue
            self._lock.put(remote.name, found)  # before the file has its name: what has its name is known
            os.replace(partial.path, target)
            partial.remove_state()
            return target

    def _attempt(self, remote: Remote, partial: Partial, authorization: str | None, progress: _Progress) -> None:
        with self._connection.get(remote.url, partial.request_headers(), authorization) as response:
            if response.status_code == 416:
                if not partial.is_whole(response):
                    partial.clear()
                    raise Transient("the file at its source has become another one")
                return
            resumed = response.status_code == 206
            if resumed and not partial.continues(response):
                partial.clear()
                raise Transient("the file at its source has become another one")
            partial.learn(response)
            total = partial.state.total
            if remote.size is not None and total is not None and total != remote.size:
                partial.clear()
                raise _Wrong(f"the server has a file of {total:,} bytes, and {remote.size:,} are expected")
            there = partial.size if resumed else 0
            self._check_room(remote, (total or remote.size or 0) - there)
            progress.begin(total or remote.size)
            with partial.path.open("ab" if resumed else "wb") as stream:
                progress.at(stream.tell())
                for chunk in body(response):
                    stream.write(chunk)
                    progress.at(stream.tell())
                stream.flush()
                os.fsync(stream.fileno())
            if total is not None and partial.size != total:
                raise Transient(f"the server sent {partial.size:,} of {total:,} bytes")

    def _check_room(self, remote: Remote, needed: int) -> None:
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise FetchError(
                f"{self.folder}: {shown(remote.url)} needs {decimal(needed)} more, and the disk has {decimal(free)}; make room"
            )

    def _verified(self, remote: Remote, partial: Partial, locked: Locked | None) -> Locked:
        published = remote.checksum or (f"md5:{partial.state.md5}" if partial.state.md5 else None)
        found, size = digests(partial.path, published), partial.size
        if published and not agrees(published, found):
            partial.clear()
            raise _Wrong("what arrived is not what its source publishes (checksum)")
        if remote.size is not None and size != remote.size:
            partial.clear()
            raise _Wrong(f"{size:,} bytes arrived, and {remote.size:,} are expected")
        if locked and locked.sha256 != found["sha256"]:
            partial.clear()
            raise FetchError(
                f"{shown(remote.url)}: is another file than the one that was downloaded from there before; if that is meant, fetch "
                f"into another folder, or remove {self._lock.path} to trust the new one"
            )
        return Locked(url=remote.url, size=size, sha256=found["sha256"], published=published)


class _Wrong(Transient):
    """A whole file arrived, and the wrong one."""


class _Progress:
    """Tells how much of a file is there, also when it begins anew."""

    def __init__(self, begin: Begin):
        self._begin = begin
        self._advance: Callable[[int], None] | None = None
        self._shown = 0

    def begin(self, total: int | None) -> None:
        if self._advance is None:
            self._advance = self._begin(total)

    def at(self, size: int) -> None:
        if self._advance is not None:
            self._advance(size - self._shown)
        self._shown = size
