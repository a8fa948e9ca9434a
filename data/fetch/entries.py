"""The files of a folder or an archive, and of the archives in a folder. Nothing is unpacked under a name that an archive chose."""

from __future__ import annotations

import contextlib
import errno
import gzip
import os
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from cxr.core.durable import replacing
from cxr.core.errors import CxrError
from cxr.core.file_names import is_clutter

LARGEST_FILE = 256 << 20  # bytes; a radiograph has fewer
LARGEST_GROWTH = 20  # an archive's content over its own size; that of pictures, which are compressed already, is about 1
GROWTH_FREE = 1 << 30  # bytes of content that need no explanation
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")

LINK = "a link"
UNSAFE = "a name that leads out of its archive"
TOO_LARGE = f"larger than {LARGEST_FILE >> 20} MB"
ENCRYPTED = "encrypted"


@dataclass(frozen=True)
class Entry:
    """One file.

    Attributes:
      name: Path within the folder or the archive, with `/`. Only looked at: no file is written under it.
      container: The archive or folder that it is in, for messages: they name no image.
      open: Returns the content; of an archive, only while this entry is the current one.
    """

    name: str
    container: Path
    open: Callable[[], IO[bytes]]

    @property
    def base(self) -> str:
        """The name without folders."""
        return PurePosixPath(self.name).name

    def copy(self, target: Path) -> None:
        """Writes the content; `target` is there whole or not at all.

        Raises:
          CxrError: It cannot be read or written.
        """
        with _explained(self.container), replacing(target) as file, self.open() as source:
            shutil.copyfileobj(source, file, 1 << 20)


def is_archive(name: str) -> bool:
    """Tells by its name whether a file is an archive that can be read."""
    return name.lower().endswith(ARCHIVES)


def entries_of(source: Path, skipped: dict[str, str] | None = None) -> Iterator[Entry]:
    """Lists the files of a folder, then those of the archives in it; of an archive, those in it.

    Args:
      source: Folder or archive.
      skipped: Is told what is never read, and the reason: links, names that lead out, what is too large or encrypted.

    Raises:
      CxrError: An archive is damaged, or a bomb; a folder cannot be listed.
    """
    skipped = {} if skipped is None else skipped
    if source.is_file():
        yield from _archived(source, skipped)
        return
    archives = []
    for path in _files(source, skipped):
        if is_archive(path.name):
            archives.append(path)
        else:
            yield Entry(path.relative_to(source).as_posix(), source, lambda path=path: path.open("rb"))  # type: ignore[misc]
    for path in archives:
        yield from _archived(path, skipped)


def _files(folder: Path, skipped: dict[str, str]) -> Iterator[Path]:
    def fail(error: OSError) -> None:
        raise CxrError(f"{folder}: a folder below it cannot be listed ({error.strerror}); check the permissions there")

    for parent, folders, files in os.walk(folder, onerror=fail):
        kept = [name for name in folders if not name.startswith(".") and not is_clutter(name)]
        skipped |= {link: LINK for name in kept if os.path.islink(link := os.path.join(parent, name))}  # os.walk does not follow them
        folders[:] = sorted(kept)
        for name in sorted(files):
            path = Path(parent, name)
            if name.startswith(".") or is_clutter(name):
                continue
            if path.is_symlink() or not path.is_file():
                skipped[str(path)] = LINK
            elif path.stat().st_size > LARGEST_FILE and not is_archive(name):
                skipped[str(path)] = TOO_LARGE
            else:
                yield path


def _archived(path: Path, skipped: dict[str, str]) -> Iterator[Entry]:
    with _explained(path):
        yield from (_zipped if path.name.lower().endswith(".zip") else _tarred)(path, skipped)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (CxrError, MemoryError):
        raise
    except Exception as error:  # zipfile and tarfile raise what their decompressors do, and of a damaged name or size IndexError and more
        if not isinstance(error, OSError) or isinstance(error, gzip.BadGzipFile):
            raise CxrError(f"{path}: is damaged, cut off or no archive of its kind; get it again") from None
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise CxrError("the disk is full; make room and call the same command again, it goes on") from None
        raise CxrError(f"{path}: cannot be read or copied ({error.strerror or 'damaged'}); get it again or check the permissions") from None


def _zipped(path: Path, skipped: dict[str, str]) -> Iterator[Entry]:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        limit = _limit(path)
        if sum(member.file_size for member in members) > limit:
            raise _bomb(path)
        for member in members:
            if member.is_dir() or _passed_over(path, member.filename, skipped):
                continue
            if stat.S_ISLNK(member.external_attr >> 16):
                skipped[f"{path}/{member.filename}"] = LINK
            elif member.flag_bits & 1:
                skipped[f"{path}/{member.filename}"] = ENCRYPTED
            elif member.file_size > LARGEST_FILE:
                skipped[f"{path}/{member.filename}"] = TOO_LARGE
            else:
                yield Entry(member.filename, path, lambda member=member: archive.open(member))  # type: ignore[misc]


def _tarred(path: Path, skipped: dict[str, str]) -> Iterator[Entry]:
    compressed, limit = not path.name.lower().endswith(".tar"), _limit(path)
    with path.open("rb") as raw:
        content = _Bounded(gzip.GzipFile(fileobj=raw).read if compressed else raw.read, limit, path)
        with tarfile.open(fileobj=content, mode="r|") as archive:  # type: ignore[call-overload]
            for member in archive:
                if member.offset_data + member.size > limit:  # tarfile would go on to its end, a block at a time, though nothing is left
                    raise _bomb(path)
                if member.isdir() or _passed_over(path, member.name, skipped):
                    continue
                if not member.isreg():
                    skipped[f"{path}/{member.name}"] = LINK
                elif member.size > LARGEST_FILE:
                    skipped[f"{path}/{member.name}"] = TOO_LARGE
                else:
                    yield Entry(member.name, path, lambda member=member: archive.extractfile(member))  # type: ignore[misc]
        while content.read(1 << 20):  # to the end: only there stands gzip's own checksum
            pass


def _passed_over(path: Path, name: str, skipped: dict[str, str]) -> bool:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if name.startswith(("/", "\\")) or ".." in parts or (parts and ":" in parts[0]):
        skipped[f"{path}/{name}"] = UNSAFE
        return True
    return any(part.startswith(".") or is_clutter(part) for part in parts if part != ".")


def _limit(path: Path) -> int:
    return GROWTH_FREE + LARGEST_GROWTH * path.stat().st_size


def _bomb(path: Path) -> CxrError:
    return CxrError(f"{path}: would unpack to more than {LARGEST_GROWTH} times its size, as no collection of pictures does; it is not read")


class _Bounded:
    """A stream that ends with an error where it gives more than it may."""

    def __init__(self, read: Callable[[int], bytes], limit: int, path: Path):
        self._read, self._left, self._path = read, limit, path

    def read(self, size: int) -> bytes:
        data = self._read(size)
        self._left -= len(data)
        if self._left < 0:
            raise _bomb(self._path)
        return data
