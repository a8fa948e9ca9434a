"""Pictures that were read and encoded, and wait to be dealt: each file is decoded once, whatever becomes of it afterwards.

Which split a picture goes to, and whose it is, hangs on its duplicates, and those on all pictures. So workers read every file once, keep
what a record needs and the thumbnail that duplicates are looked for in, in files of the output's private folder, and the records are made
of that. A call that fails (a label conflict, say) or is killed leaves them there for the next one, which reads only what is missing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cxr.core import fingerprints
from cxr.core.machine_faults import check_file_at_fault
from cxr.data.duplicates.thumbnails import SIDE, thumbnail
from cxr.data.images import reader
from cxr.data.images.errors import ImageError
from cxr.data.images.grey_levels import mean_and_deviation
from cxr.data.ingest.dataset import RECORDS_VERSION
from cxr.data.ingest.ingest_config import Ingest
from cxr.data.ingest.private_lists import BadRows, folder_of
from cxr.data.ingest.rows import Row

STAGED = "staged"  # below the private folder
INDEX, PICTURES = ".jsonl", ".pictures"
_THUMBNAIL_BYTES = SIDE * SIDE
_KEY_BYTES = 16
_KEY = f"S{2 * _KEY_BYTES}"  # in hexadecimal digits
# Of a line of an index: what it is about, whether it has a picture, the number of the index, and where the line stands. All else stays on
# disk.
_LINE = np.dtype([("key", _KEY), ("good", np.bool_), ("index", np.int32), ("offset", np.int64), ("length", np.int32)])

Keys = npt.NDArray[np.bytes_]


@dataclass(frozen=True, slots=True)
class Picture:
    """What a record says of the image itself; core/features.py says what each feature holds."""

    encoded: bytes
    format: str
    height: int
    width: int
    mean: float
    std: float
    content_hash: str

    @classmethod
    def of(cls, image: reader.GreyImage) -> Picture:
        """Encodes."""
        height, width = image.array.shape
        mean, std = mean_and_deviation(image.histogram)
        return cls(reader.encode(image), image.format, height, width, mean, std, image.content_hash)


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of one file: where its picture lies, or the reason why there is none.

    Attributes:
      key: Of `keys_of`, in hexadecimal. No name and no path: these lines stay where a process is killed.
      file_hash: SHA-256 (hex) of the file, empty where it could not be read.
      content_hash: SHA-256 (hex) of size and pixels.
      offset: Of thumbnail and encoded picture in the file beside the index, bytes.
      length: Of the encoded picture, bytes.
      format: This and the next four: as in `Picture`.
      against: What the header of a DICOM file, or the picture, says against a frontal chest X-ray.
    """

    key: str
    file_hash: str = ""
    content_hash: str = ""
    reason: str = ""
    detail: str = ""
    offset: int = 0
    length: int = 0
    format: str = ""
    height: int = 0
    width: int = 0
    mean: float = 0.0
    std: float = 0.0
    against: str = ""


class Staged:
    """The pictures of a folder, as workers wrote them."""

    def __init__(self, folder: Path) -> None:
        """Reads the indices; what a killed worker left unfinished does not count."""
        self._indices = sorted(folder.glob(f"*{INDEX}"))
        lines = np.fromiter(self._lines(), _LINE)
        # Of a key that stands there twice the one with a picture counts: the file could be read after all.
        if not lines["good"].all():  # a copy of many lines is memory
            lines = lines[np.argsort(~lines["good"], kind="stable")]
        self._keys, first = np.unique(lines["key"], return_index=True)
        self._found = lines[first]

    def _lines(self) -> Iterator[tuple[bytes, bool, int, int, int]]:
        """Yields keys of `_LINE`."""
        for number, index in enumerate(self._indices):
            pictures, offset = index.with_suffix(PICTURES), 0
            size = pictures.stat().st_size if pictures.exists() else 0
            for line in index.read_bytes().splitlines(keepends=True):
                with contextlib.suppress(ValueError, TypeError):  # half a line
                    entry = Entry(*json.loads(line))
                    if entry.offset + _THUMBNAIL_BYTES + entry.length <= size or entry.reason:
                        yield entry.key.encode(), not entry.reason, number, offset, len(line)
                offset += len(line)

    def __getitem__(self, key: bytes) -> Entry:
        return self._entry(key)[1]

    def __contains__(self, key: bytes) -> bool:
        return self._place(key) is not None

    def _place(self, key: bytes) -> int | None:
        at = int(np.searchsorted(self._keys, np.bytes_(key)))
        return at if at < len(self._keys) and self._keys[at] == key else None

    def _entry(self, key: bytes) -> tuple[Path, Entry]:
        """Returns an entry, and the file of its picture."""
        place = self._place(key)
        if place is None:
            raise KeyError(key)
        _, _, number, offset, length = self._found[place].item()
        index = self._indices[number]
        return index.with_suffix(PICTURES), Entry(*json.loads(_read(index, offset, length)))

    def unread(self, key: bytes) -> bool:
        """Tells whether a file is not there, or was refused: why may have ended."""
        return key not in self or bool(self[key].reason)

    def thumbnail(self, key: bytes) -> np.ndarray:
        """Returns uint8 [SIDE, SIDE], black where there is no picture."""
        path, entry = self._entry(key)
        if entry.reason:
            return np.zeros((SIDE, SIDE), np.uint8)
        return np.frombuffer(_read(path, entry.offset, _THUMBNAIL_BYTES), np.uint8).reshape(SIDE, SIDE)

    def picture(self, key: bytes) -> Picture | None:
        """Returns the picture; None: there is none, and a reason for that."""
        path, entry = self._entry(key)
        if entry.reason:
            return None
        encoded = _read(path, entry.offset + _THUMBNAIL_BYTES, entry.length)
        return Picture(encoded, entry.format, entry.height, entry.width, entry.mean, entry.std, entry.content_hash)


class StageWriter:
    """What one worker reads; a new pair of files for each, so that attempts do not meet."""

    def __init__(self, folder: Path) -> None:
        """Opens the files."""
        path = folder / uuid.uuid4().hex
        self._index = open(path.with_suffix(INDEX), "xb")  # noqa: SIM115
        self._pictures = open(path.with_suffix(PICTURES), "xb")  # noqa: SIM115

    def __enter__(self) -> StageWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._index.close()
        self._pictures.close()

    def read(self, key: str, path: str, max_pixels: int, max_side: int | None) -> None:
        """Reads one file and keeps what it yields; a file that cannot be used leaves its reason.

        Raises:
          CxrError: The machine cannot read it now.
        """
        file_hash = ""
        try:
            file_hash = fingerprints.of_file(path)
            image = reader.read_image(path, max_pixels=max_pixels, max_side=max_side)
        except ImageError as error:
            self._add(Entry(key, file_hash, reason=error.reason, detail=str(error).removeprefix(f"{path}: ")))
            return
        except OSError as error:
            check_file_at_fault(error)
            self._add(Entry(key, file_hash, reason="cannot be opened", detail=error.strerror or str(error)))
            return
        facts, offset = asdict(Picture.of(image)), self._pictures.tell()
        encoded = facts.pop("encoded")
        self._pictures.write(thumbnail(image.array).tobytes() + encoded)
        self._pictures.flush()  # before the line that names it
        self._add(Entry(key, file_hash, offset=offset, length=len(encoded), against="; ".join((*image.remarks, *image.doubts)), **facts))

    def _add(self, entry: Entry) -> None:
        self._index.write(json.dumps(list(asdict(entry).values())).encode() + b"\n")
        self._index.flush()  # the progress bar reads along


def keys_of(rows: Iterable[Row], config: Ingest, secret: bytes) -> Keys:
    """Returns the key of each row's file, hexadecimal digits.

    A key tells file, size, time of change and all settings that decide what is made of it; it tells nobody the path.

    Args:
      rows: Of files that are there.
      config: Limits of size.
      secret: Of the pseudonyms.

    Raises:
      BadRows: A file has gone.
    """
    # the names too: what an older version left says less than this one wants to know
    rules = RECORDS_VERSION, reader.READING_RULES, config.max_pixels, config.max_side, *Entry.__slots__

    def key(row: Row) -> bytes:
        try:
            found = os.stat(row.path)
        except OSError as error:
            raise BadRows(f"an image cannot be looked at ({error.strerror}); call again when nothing changes there:", [row]) from None
        facts = json.dumps([os.path.realpath(row.path), found.st_size, found.st_mtime_ns, *rules])
        return hashlib.blake2b(facts.encode(), digest_size=_KEY_BYTES, key=hashlib.sha256(secret).digest()).hexdigest().encode()

    return np.fromiter(map(key, rows), _KEY)


def folder_for(out: Path) -> Path:
    """Makes the folder in which the pictures of an output wait.

    Raises:
      OSError: It cannot be made.
    """
    folder = folder_of(out) / STAGED
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.mkdir(exist_ok=True, mode=0o700)
    return folder


def remove(out: Path) -> None:
    """Removes the pictures, and the private folder where it holds nothing else."""
    shutil.rmtree(folder_of(out) / STAGED, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder_of(out).rmdir()


def _read(path: Path, offset: int, length: int) -> bytes:
    with open(path, "rb", buffering=0) as stream:  # a buffer would take as long as all the rest
        stream.seek(offset)
        return stream.read(length)
