"""From a SavedModel to a version that a server may load: whole, with its record, once, and champion.

TFX's Pusher copies file by file into the version's folder, so that a server that looks there meanwhile sees half a version. Here the copy
is made in a hidden folder of the same file system, brought to disk, and becomes the version by one rename.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from cxr.components.baseline import champion
from cxr.components.baseline.push_record import RECORD, PushRecord, read_record
from cxr.components.pusher.known import NO_CHAMPION
from cxr.core.durable import sync_folder, sync_tree
from cxr.core.errors import CxrError
from cxr.core.model_versions import LARGEST_VERSION, version_of

Describe = Callable[[PushRecord], Mapping[str, str]]  # further files beside the model: path below the version, text

_INCOMING = ".incoming-"  # first part of the hidden folder's name; servers look at numbers only


def publish(
    models: Path,
    candidate: Path,
    make_record: Callable[[str, str], PushRecord],
    *,
    checked: str,
    source: str,
    expected: str | None,
    describe: Describe = lambda _: {},
) -> Path:
    """Makes a version of a model and the champion of it.

    The champion itself is not pushed again. A version that an attempt pushed before it was killed becomes the champion now.

    Args:
      models: Folder of the model's versions.
      candidate: Folder of the SavedModel.
      make_record: From the version's name and the fingerprint to what is kept beside the model.
      checked: Fingerprint of the SavedModel that was judged.
      source: URI of the Model artifact.
      expected: Version of the champion when the baseline was chosen, NO_CHAMPION: there was none; None: whichever is the champion now.
      describe: From the record to what else is written beside the model.

    Returns: the version's folder.

    Raises:
      ChampionChangedError: The champion is another one by now.
      CxrError: The candidate is not what was checked, the pointer is damaged, no number is left, or the volume has no file locks.
    """
    fingerprint = champion.fingerprint(candidate)
    if fingerprint != checked:
        raise CxrError(
            f"{candidate}: these are not the files that the infrastructure check loaded; they were changed or damaged since, as by a full "
            "or failing disk. Nothing is pushed. Remedy: remove the artifact's folder, and the next run makes anew what is missing, or run "
            "without the cache (--no-cache of cxr run, cxr kubeflow submit)"
        )
    with champion.locked(models) as pointer:
        current = pointer.read()
        if current and current.fingerprint == fingerprint:
            return current.folder
        present = current.version if current else None
        replaced = present if expected is None else None if expected == NO_CHAMPION else expected
        pointer.require(replaced)
        newest = max((number for folder in models.iterdir() if (number := version_of(folder)) is not None), default=0)
        version = models / str(newest)
        record = read_record(version)
        if not (record and record.fingerprint == fingerprint):
            if newest == LARGEST_VERSION:
                raise CxrError(
                    f"{version}: no version can have a higher number, and servers take the highest; rename or remove that folder"
                )
            # numbered by the clock, as TFX does; a server takes the highest number for the newest, whatever the clock says
            version = models / str(max(int(time.time()), newest + 1))
            made = make_record(version.name, fingerprint)
            _copy(candidate, version, {RECORD: made.model_dump_json(indent=2) + "\n", **describe(made)})
        pointer.write(version.name, fingerprint, source, expected=replaced)
    return version


def _copy(candidate: Path, version: Path, texts: Mapping[str, str]) -> None:
    for left_over in version.parent.glob(f"{_INCOMING}*"):  # of an attempt that was killed: whoever holds the lock is alone here
        shutil.rmtree(left_over)
    incoming = version.parent / f"{_INCOMING}{uuid.uuid4().hex}"
    try:
        shutil.copytree(candidate, incoming)
        for name, text in texts.items():
            (incoming / name).parent.mkdir(exist_ok=True)
            (incoming / name).write_text(text, encoding="utf-8")
        sync_tree(incoming)
        incoming.rename(version)
        sync_folder(version.parent)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
