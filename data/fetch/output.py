"""The folder that `cxr fetch` writes: images and a manifest of one or several collections, and beside them what each came from."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import pydantic

from cxr.core import folder_lock
from cxr.core.durable import replace_text
from cxr.core.errors import UsageError
from cxr.core.visible import csv_text
from cxr.data.fetch.about import About
from cxr.data.fetch.entries import Entry
from cxr.data.fetch.errors import FetchError
from cxr.data.fetch.selection import Candidate
from cxr.data.ingest.fetched import FETCH_FILE, FOLDER
from cxr.data.ingest.sources import MANIFEST

ROWS = "rows.csv"
IMAGES = "images"
COLUMNS = ("image", "label", "patient_id", "source", "view", "sex", "age", "license", "subset", "original")


class Output:
    """The folder, and the part of it that belongs to one collection."""

    def __init__(self, out: Path, collection: str):
        """Args: the folder; name of the collection."""
        self.out, self.collection = out, collection
        self.work = out / FOLDER / collection
        self.downloads = self.work / "downloads"
        self.images = out / IMAGES

    @contextlib.contextmanager
    def begun(self, about: About) -> Iterator[About | None]:
        """Makes the folder, and holds it against other processes; yields what it says of the same request, None where that is new.

        Raises:
          UsageError: It holds something else, or the collection with other options.
          CxrError: Another process is at it; it cannot be written.
        """
        if self.out.exists() and not (self.out / FOLDER).is_dir() and (not self.out.is_dir() or any(self.out.iterdir())):
            raise UsageError(f"{self.out}: exists and was not made by `cxr fetch`; name another folder")
        try:
            self.work.mkdir(parents=True, exist_ok=True)
            self.images.mkdir(exist_ok=True)
            handle = folder_lock.take(self.out / FOLDER, f"{self.out}: another process is fetching into it; wait for its end")
        except OSError as error:
            raise FetchError(f"{self.out}: cannot be written ({error.strerror}); name another folder") from None
        try:
            before = self._about()
            if before and not before.complete and not before.same_request(about):
                if before.origin != about.origin:
                    self._remove_images(keep=())
                before = None
            if before and not before.same_request(about):
                options = ", ".join(f"{name}={value}" for name, value in before.options)
                raise UsageError(
                    f"{self.out}: holds {self.collection} from elsewhere or with other options ({options}); name another folder"
                )
            if before is None:
                self.write_about(about)
            yield before
        finally:
            os.close(handle)

    def _about(self) -> About | None:
        path = self.work / FETCH_FILE
        try:
            return About.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, pydantic.ValidationError):
            raise FetchError(f"{path}: cannot be read; remove it and call the same command again, what is there is used") from None

    def write_about(self, about: About) -> None:
        """Writes `fetch.json`, whole or not at all."""
        replace_text(self.work / FETCH_FILE, about.model_dump_json(indent=2) + "\n")

    def image_of(self, candidate: Candidate) -> Path:
        """Returns where an image goes: its name says nothing of class or patient, and is the same in every call."""
        digest = hashlib.blake2b(os.fsencode(candidate.path), digest_size=6).hexdigest()
        suffix = PurePosixPath(candidate.path).suffix.lower()
        return self.images / f"{self.collection}-{digest}{suffix if re.fullmatch(r'[.][a-z0-9]{1,5}', suffix) else ''}"

    def missing(self, candidates: Iterable[Candidate]) -> list[Candidate]:
        """Returns those whose image is not there yet."""
        return [candidate for candidate in candidates if not self.image_of(candidate).is_file()]

    def take(self, entries: Iterator[Entry], candidates: Sequence[Candidate]) -> Iterator[Candidate]:
        """Copies the images that are not there yet; yields each that now is.

        Args:
          entries: Files to look through, until all are found.
          candidates: What is wanted.

        Raises:
          CxrError: A file cannot be read or written.
        """
        wanted = {candidate.path for candidate in self.missing(candidates)}
        named: dict[str, list[Candidate]] = {}  # those that are there as well: a longer path that ends alike is another image's
        for candidate in sorted(candidates, key=lambda candidate: len(candidate.path), reverse=True):
            named.setdefault(PurePosixPath(candidate.path).name, []).append(candidate)
        if not wanted:
            return
        for entry in entries:
            own = (c for c in named.get(entry.base, []) if entry.name == c.path or entry.name.endswith(f"/{c.path}"))
            if (found := next(own, None)) and found.path in wanted:
                entry.copy(self.image_of(found))
                wanted.remove(found.path)
                yield found
                if not wanted:
                    return

    def is_whole(self) -> bool:
        """Tells whether the manifest is there, and the images of all rows."""
        try:
            return (self.out / MANIFEST).is_file() and all((self.out / row[0]).is_file() for row in self._rows(self.work / ROWS))
        except FileNotFoundError:
            return False

    def finish(self, candidates: Sequence[Candidate], about: About, left_out: Counter[str]) -> About:
        """Writes the collection's rows, the manifest of all collections in the folder, and last that it is complete."""
        rows = [
            (
                self.image_of(c).relative_to(self.out).as_posix(),
                c.label,
                c.patient_id,
                c.source,
                c.view,
                c.sex,
                c.age,
                c.license,
                c.subset,
                c.path,
            )
            for c in candidates
        ]
        done = about.model_copy(
            update={
                "complete": True,
                "images": dict(Counter(c.label for c in candidates)),
                "licences": dict(Counter(c.license or "none stated" for c in candidates).most_common()),
                "left_out": {reason: count for reason, count in left_out.most_common() if count},
            }
        )
        self._remove_images(keep=[row[0] for row in rows])  # those of an earlier call with other options that did not end
        replace_text(self.work / ROWS, csv_text(rows))
        self.write_manifest()
        self.write_about(done)
        return done

    def _remove_images(self, keep: Sequence[str]) -> None:
        kept = {PurePosixPath(name).name for name in keep}
        for pattern in (f"{self.collection}-*", f".{self.collection}-*"):  # the latter was being copied when a call was killed
            for path in self.images.glob(pattern):
                if path.name not in kept:
                    path.unlink()

    def write_manifest(self) -> None:
        """Writes `manifest.csv` from the rows of every collection in the folder."""
        rows = [row for path in sorted((self.out / FOLDER).glob(f"*/{ROWS}")) for row in self._rows(path)]
        replace_text(self.out / MANIFEST, csv_text([COLUMNS, *rows]))

    def _rows(self, path: Path) -> list[list[str]]:
        with path.open(newline="", encoding="utf-8") as stream:
            return list(csv.reader(stream))
