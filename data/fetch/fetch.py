"""From the name of a public collection to a folder that `cxr ingest` takes."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.filesize import decimal

from cxr.core.counts import how_many
from cxr.core.errors import CxrError, UsageError
from cxr.data.fetch.about import About
from cxr.data.fetch.catalogue import Collection
from cxr.data.fetch.download import Begin, Downloader
from cxr.data.fetch.entries import entries_of, is_archive
from cxr.data.fetch.errors import FetchError
from cxr.data.fetch.lock_file import LOCK, LockFile
from cxr.data.fetch.output import Output
from cxr.data.fetch.readers import READERS
from cxr.data.fetch.selection import NO_LICENCE, NOT_THERE, TWICE, Options, Part, Selection, Walk
from cxr.data.ingest import progress_bar

DOWNLOAD = "download"
MANY = 20  # from so many images on, taking them out of an archive is a stage to be shown


def fetch(
    collection: Collection,
    out: Path,
    options: Options,
    *,
    console: Console,
    origin: Path | None = None,
    keep_archives: bool = False,
    pause: Callable[[float], None] = time.sleep,
) -> About:
    """Writes `out/images` and `out/manifest.csv`; goes on where an earlier call stopped, and does nothing where it is done.

    Args:
      collection: Which.
      out: Folder to write; may hold other collections already.
      options: What is taken of it.
      console: For progress and remarks.
      origin: Folder or archive that it was downloaded to already; None downloads it.
      keep_archives: Whether downloads stay when their images have been taken out.
      pause: How to wait between attempts, in seconds.

    Returns:
      What was taken and what was not.

    Raises:
      UsageError: `out` holds something else; `origin` is not there.
      CxrError: It cannot be downloaded, read or written. The same command goes on.
    """
    if origin is not None and not origin.exists():
        raise UsageError(f"--from {origin}: no such folder or archive")
    if origin is not None and origin.is_file() and not is_archive(origin.name):
        raise UsageError(f"--from {origin}: is no folder and none of the archives that can be read (zip, tar, tar.gz, tgz)")
    about = About(
        collection=collection.name, title=collection.title, page=collection.page, licence=collection.licence, citation=collection.citation,
        remark=collection.remark, options=options,
        origin=DOWNLOAD if origin is None else hashlib.sha256(str(origin.resolve()).encode()).hexdigest()[:16],
    )  # fmt: skip
    output = Output(out, collection.name)
    with output.begun(about) as before, progress_bar.stages(console, "") as stage:
        if before and before.complete and output.is_whole():
            if origin is not None and (absent := before.left_out.get(NOT_THERE, 0)):
                how = f"done earlier, when {how_many(absent, 'listed file was', 'listed files were')} not there"
                console.print(f"{how}; for those that came since name another folder", style="yellow", highlight=False, soft_wrap=True)
            return before
        try:
            return _fetched(collection, output, about, origin, keep_archives, console, stage, pause)
        except OSError as error:
            raise FetchError(
                f"{out}: cannot be written ({error.strerror}); make room or check the permissions, then call it again"
            ) from None


def _fetched(
    collection: Collection,
    output: Output,
    about: About,
    origin: Path | None,
    keep_archives: bool,
    console: Console,
    stage: progress_bar.Begin,
    pause: Callable[[float], None],
) -> About:
    reader = READERS[collection.name]
    skipped: dict[str, str] = {}
    downloader = Downloader(output.downloads, LockFile(output.work / LOCK), console, pause)
    if origin is None:
        for remote in collection.files:
            downloader.download(remote, _own_stage(stage, remote.name))
    source = output.downloads if origin is None else origin
    walk: Walk = partial(entries_of, source, skipped)
    selection = reader.select(walk, about.options, output.work)
    _tidy(selection, about.options)
    if not selection.candidates:
        reasons = ", ".join(f"{count} {reason}" for reason, count in selection.left_out.most_common() if count)
        raise CxrError(f"{collection.name}: none of its images can be used ({reasons or 'nothing found'}); is it the right collection?")
    if origin is None and (parts := reader.parts(collection, selection, output.downloads)):
        _download_parts(parts, output, selection, downloader, stage, console, keep_archives)
    else:
        taken = stage("taking images", len(selection.candidates))
        taken(len(selection.candidates) - len(output.missing(selection.candidates)))
        for _ in output.take(walk(), selection.candidates):
            taken(1)
    absent = {candidate.path for candidate in output.missing(selection.candidates)}
    selection.without(lambda candidate: candidate.path in absent, NOT_THERE)
    if not selection.candidates:
        raise CxrError(f"{collection.name}: its table is there, and none of the images that it lists; are they in another folder?")
    about = about.model_copy(update={"remark": "; ".join(filter(None, (about.remark, *selection.remarks)))})
    done = output.finish(selection.candidates, about, selection.left_out + Counter(skipped.values()))
    if not keep_archives:
        for remote in collection.files:
            if is_archive(remote.name):
                (output.downloads / remote.name).unlink(missing_ok=True)
    return done


def _tidy(selection: Selection, options: Options) -> None:
    """Leaves out what is listed again and, where asked for, what has no licence."""
    if options.licensed_only:
        selection.without(lambda candidate: not candidate.license, NO_LICENCE)
    first = {candidate.path: candidate for candidate in reversed(selection.candidates)}
    selection.without(lambda candidate: candidate is not first[candidate.path], TWICE)


def _download_parts(
    parts: list[Part],
    output: Output,
    selection: Selection,
    downloader: Downloader,
    stage: progress_bar.Begin,
    console: Console,
    keep_archives: bool,
) -> None:
    """Downloads what holds the images, one file after the other, takes them out, and removes it."""
    open_parts = [(remote, held) for remote, held in parts if output.missing(held)]
    sizes = [remote.size for remote, _ in open_parts]
    shared: Callable[[int], None] | None = None
    if open_parts and None not in sizes:
        total = sum(size for size in sizes if size is not None)
        console.print(f"{how_many(len(open_parts), 'file')}, {decimal(total)}", highlight=False)
        shared = stage("downloading", total, in_bytes=True)
    for remote, held in open_parts:
        path = downloader.download(remote, _own_stage(stage, remote.name) if shared is None else _part_of(shared))
        archive = is_archive(path.name)
        wanted = selection.candidates if archive else held  # an archive may hold images that another one was expected to
        taken = stage(f"taking images out of {path.name}", len(held)) if len(held) >= MANY else None
        for _ in output.take(entries_of(path) if archive else entries_of(output.downloads), wanted):
            if taken is not None:
                taken(1)
        if not keep_archives:
            path.unlink()
            with contextlib.suppress(OSError):  # not empty
                path.parent.rmdir()


def _own_stage(stage: progress_bar.Begin, name: str) -> Begin:
    return lambda total: stage(f"downloading {name}", total, in_bytes=True)


def _part_of(shared: Callable[[int], None]) -> Begin:
    return lambda total: shared
