"""Fuzz target: an archive of a collection, as `cxr fetch --from` takes it."""

from __future__ import annotations

import contextlib
import io
import tarfile
import tempfile
import zipfile
from pathlib import Path
from random import Random

from cxr.core.errors import CxrError
from cxr.data.fetch.entries import entries_of

from .harness import Target

_SUFFIXES = (".zip", ".tar", ".tgz")
_ZIPPED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_TARRED = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
_NAMES = (
    "train/NORMAL/ä.png",
    "../a.png",
    "/a.png",
    "C:/a.png",
    "a" * 200 + ".png",
    "NORMAL/",
    "./",
    ".",
    "",
    "\udcff.png",
    "a\\b.png",
    "a\nb.png",
)
_TYPES = (tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE, tarfile.GNUTYPE_SPARSE, b"?")


def archive_target() -> Target:
    """An archive under the name of each kind that is read: all of its files are copied."""
    folder = Path(tempfile.mkdtemp())

    def run(data: bytes) -> None:
        for suffix in _SUFFIXES:
            file = folder / f"a{suffix}"
            file.write_bytes(data)
            with contextlib.suppress(CxrError):
                for entry in entries_of(file):
                    entry.copy(folder / "copied")

    rng = Random(0)
    seeds = [_zip(rng, kind, _NAMES[:1]) for kind in _ZIPPED] + [_tar(rng, "w", kind, _NAMES[:1]) for kind in _TARRED]
    return Target(run, (*seeds, _tar(rng, "w:gz", tarfile.GNU_FORMAT, _NAMES[:1])), _made)


def _made(rng: Random) -> bytes:
    """An archive of odd names and kinds of files."""
    names = [rng.choice(_NAMES) for _ in range(rng.randint(0, 4))]
    if rng.random() < 0.5:
        return _zip(rng, rng.choice(_ZIPPED), names)
    return _tar(rng, rng.choice(("w", "w:gz")), rng.choice(_TARRED), names)


def _zip(rng: Random, kind: int, names: list[str] | tuple[str, ...]) -> bytes:
    stream = io.BytesIO()
    with contextlib.suppress(UnicodeEncodeError, IndexError), zipfile.ZipFile(stream, "w", kind) as archive:  # a name that none can have
        for name in dict.fromkeys(names):
            archive.writestr(name, rng.randbytes(100))
    return stream.getvalue()


def _tar(rng: Random, mode: str, kind: int, names: list[str] | tuple[str, ...]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode, format=kind) as archive:  # type: ignore[call-overload]
        for number, name in enumerate(names):
            member = tarfile.TarInfo(name)
            member.size, member.type = 100, tarfile.REGTYPE if not number else rng.choice(_TYPES)
            with contextlib.suppress(ValueError):  # a name that this format cannot hold
                archive.addfile(member, io.BytesIO(rng.randbytes(100)))
    return stream.getvalue()
