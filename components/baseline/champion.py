"""The champion of a model: the pushed version that candidates are compared with, named by a pointer file beside the pushed versions.

    <serving_models>/<model>/1763860000/...      what TensorFlow Serving loads; it looks at numbers only
    <serving_models>/<model>/champion.json       the pointer
    <serving_models>/<model>/.champion.lock      held while a version is pushed and made the champion

Writers hold the lock and state the champion that their candidate was compared with; a pointer that names another one by then stays as it
is. Readers need no lock, because the pointer is replaced in one step.

The lock is `flock`. It holds between processes, containers and, where the volume has file locks (NFSv4, CephFS, Lustre with `flock`),
between nodes, and it ends with its holder, however that ends. Process ids play no part: they coincide across pods.

Nothing here knows Kubeflow, TFX or TensorFlow.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from cxr.components.baseline.push_record import RECORD
from cxr.core import fingerprints, folder_lock
from cxr.core.durable import replace_text
from cxr.core.errors import CxrError
from cxr.core.places import SAVED_MODEL

POINTER = "champion.json"
LOCK = ".champion.lock"
LOCK_SECONDS = 900.0  # a push copies some hundred MB over the network; another one may be before us
_VERSION = re.compile("[0-9]+")


class ChampionChangedError(CxrError):
    """The pointer names another champion than the one that the candidate was compared with."""


@dataclass(frozen=True)
class Champion:
    """What a pointer says."""

    version: str  # name of the version's folder, a number
    fingerprint: str  # of its SavedModel
    source: str  # URI of the Model artifact that it came from
    pushed_at: str  # ISO 8601, UTC
    folder: Path  # of the version: beside the pointer, wherever the volume is mounted


def read(pointer: Path) -> Champion | None:
    """Returns the champion that a pointer file names; None where no model has been pushed yet.

    Raises:
      CxrError: The file is damaged, or the version is gone.
    """
    try:
        found = json.loads(pointer.read_bytes())
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError):
        raise _damaged(pointer, "no JSON") from None
    if not isinstance(found, dict):
        raise _damaged(pointer, "no JSON object")
    texts = {}
    for name in ("version", "fingerprint", "source", "pushed_at"):
        if not isinstance(found.get(name), str):
            raise _damaged(pointer, f"its field {name!r} is {'no text' if name in found else 'missing'}")
        texts[name] = found[name]
    if not _VERSION.fullmatch(texts["version"]):
        raise _damaged(pointer, "its field 'version' is no number")
    champion = Champion(**texts, folder=pointer.parent / texts["version"])
    if not (champion.folder / SAVED_MODEL).is_file():
        raise CxrError(f"{pointer}: names version {champion.version}, which is gone; restore it, or remove the pointer")
    return champion


def _damaged(pointer: Path, what: str) -> CxrError:
    return CxrError(
        f"{pointer}: not a champion pointer ({what}); write it anew (version, fingerprint, source and pushed_at stand in the champion's "
        f"{RECORD}). Without it a run compares with no baseline, and `cxr prune` does not know the champion"
    )


class LockedPointer:
    """A model's pointer while its lock is held; `locked` makes it."""

    def __init__(self, models: Path) -> None:
        self._models = models

    def read(self) -> Champion | None:
        """Returns the champion; see `read`."""
        return read(self._models / POINTER)

    def require(self, expected: str | None) -> None:
        """Makes sure that the champion is still the one that a candidate was compared with.

        Args:
          expected: Its version; None: there was none.

        Raises:
          ChampionChangedError: It is another one.
        """
        current = self.read()
        if (current.version if current else None) != expected:
            before = f"version {expected}" if expected else "no champion"
            now = f"version {current.version} (pushed {current.pushed_at})" if current else "gone"
            raise ChampionChangedError(
                f"{self._models / POINTER}: the candidate was compared with {before}, but the champion is {now} by now; "
                "nothing was replaced. Run again: the comparison is repeated with the new champion, training comes from the cache"
            )

    def write(self, version: str, fingerprint: str, source: str, *, expected: str | None) -> None:
        """Makes a pushed version the champion: the file is replaced in one step, and on disk when this returns.

        Args:
          version: Name of the version's folder.
          fingerprint: `fingerprint` of its SavedModel.
          source: URI of the Model artifact that it came from.
          expected: Version of the champion that the model was compared with; None: there was none.

        Raises:
          ChampionChangedError: The champion is another one by now.
        """
        self.require(expected)
        text = json.dumps(
            {
                "version": version,
                "fingerprint": fingerprint,
                "source": source,
                "pushed_at": datetime.now(UTC).isoformat(timespec="seconds"),
            },
            indent=2,
        )
        replace_text(self._models / POINTER, text)


@contextmanager
def locked(models: Path, timeout: float = LOCK_SECONDS) -> Iterator[LockedPointer]:
    """Holds the lock of a model's folder; the folder is made where it does not exist.

    Args:
      models: Folder of the model's versions.
      timeout: Seconds to wait for another holder.

    Raises:
      CxrError: The volume has no file locks, or another process holds the lock too long.
    """
    models.mkdir(parents=True, exist_ok=True)
    with open(models / LOCK, "a", encoding="utf-8") as file:
        folder_lock.wait(file, timeout, f"held by another push for more than {timeout:.0f} s; look for a run that hangs")
        yield LockedPointer(models)  # closing the file releases the lock


def fingerprint(folder: Path) -> str:
    """Returns a hash over the names and contents of all files below a folder."""
    return fingerprints.of_folder(folder, partial(hashlib.blake2b, digest_size=16))
