"""From what a user names to the bytes that are sent: files, folders, DICOM."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cxr.core.errors import CxrError, UsageError
from cxr.core.features import MAX_PIXELS
from cxr.data.images import reader
from cxr.serving.client.errors import BadImage


def find_images(paths: Iterable[Path]) -> list[Path]:
    """Lists the images that paths name.

    Args:
      paths: files are taken as they are; folders give the images below them (by suffix or, where that says nothing, by content: DICOM
        files are named by numbers with dots), hidden files and folders left out.

    Returns:
      Files, those of a folder in alphabetical order. A file named twice comes twice. A folder without images comes itself, to be reported
      as a file that cannot be read.

    Raises:
      UsageError: a path leads nowhere, or there is no image at all.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder")
        if not path.is_dir():
            found.append(path)
            continue
        below = sorted(file for file in path.rglob("*") if not _hidden(file.relative_to(path)) and _is_image(file))
        found += below or [path]
    if found and all(path.is_dir() for path in found):
        raise UsageError(_without_images(found[0]))
    return found


def encoded(source: Path | bytes, max_side: int | None = reader.MAX_SIDE) -> bytes:
    """Reads an image as `cxr ingest` does, so that a model sees here what it saw in training.

    Args:
      source: a file that data/images/reader.py reads, or the bytes of one.
      max_side: pixels that longer images are scaled down to, see `models.max_side`; None: none is.

    Returns:
      An 8-bit grey picture, upright, encoded for the signature `image_bytes`.

    Raises:
      BadImage: no such file, or no usable image.
    """
    return reader.encode(grey_image(source, max_side))


def grey_image(source: Path | bytes, max_side: int | None, max_pixels: int = MAX_PIXELS) -> reader.GreyImage:
    """Reads an image, as `encoded` does, without encoding it; one of more pixels is refused before it is decoded."""
    try:
        return reader.read_image(source, max_side=max_side, max_pixels=max_pixels)
    except CxrError as error:
        raise BadImage(str(error)) from None
    except IsADirectoryError:
        raise BadImage(_without_images(source)) from None
    except OSError as error:
        raise BadImage(f"{source!s}: cannot be read ({error.strerror}); check the path and its permissions") from None


def _without_images(folder: Path | bytes) -> str:
    return f"{folder!s}: no image below this folder (PNG, JPEG, BMP, TIFF or DICOM)"


def _hidden(relative: Path) -> bool:
    return any(part.startswith(".") for part in relative.parts)


def _is_image(file: Path) -> bool:
    if file.is_dir():
        return False
    if file.suffix.lower() in reader.SUFFIXES:  # also a broken one, or a link that leads nowhere: it shall be reported, not passed over
        return True
    if not file.is_file():
        return False
    try:
        with file.open("rb") as stream:
            return reader.is_image(stream.read(reader.HEAD_BYTES))
    except OSError:
        return False
