"""From what a user names to the bytes that are sent: files, folders, DICOM."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from cxr.core.errors import CxrError, UsageError
from cxr.core.features import MAX_PIXELS
from cxr.core.folder_walk import data_files
from cxr.data.images import reader
from cxr.serving.client.errors import BadImage


def find_images(paths: Iterable[Path], passed_over: list[Path] | None = None) -> list[Path]:
    """Lists the images that paths name.

    Args:
      paths: files are taken as they are; folders give the images below them (by suffix or, where that says nothing, by content: DICOM
        files are named by numbers with dots), as `data_files` finds them.
      passed_over: gets the other files below folders.

    Returns:
      Files, those of a folder in alphabetical order. A file named twice comes twice. A folder without images comes itself, and so does one
      below it that may not be looked into, to be reported as a file that cannot be read.

    Raises:
      UsageError: a path leads nowhere, or there is no image at all.
    """
    found: list[Path] = []
    for path in paths:
        try:
            is_folder = stat.S_ISDIR(path.stat().st_mode)
        except PermissionError:
            is_folder = False
        except OSError:
            raise UsageError(f"{path}: no such file or folder") from None
        found += (_below(path, passed_over) if is_folder else []) or [path]
    if found and all(map(os.path.isdir, found)):
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
    except IsADirectoryError as error:
        raise BadImage(_no_file(Path(error.filename))) from None
    except OSError as error:
        raise BadImage(f"{source!s}: cannot be read ({error.strerror}); check the path and its permissions") from None


def _below(folder: Path, passed_over: list[Path] | None = None) -> list[Path]:
    closed: list[OSError] = []
    found, others = list[Path](), passed_over if passed_over is not None else []
    for file in data_files(folder, closed.append):
        (found if reader.is_image_file(file) else others).append(file)
    return sorted([*found, *(Path(error.filename) for error in closed)])


def _no_file(folder: Path) -> str:
    if any(map(reader.is_image_file, data_files(folder, lambda error: None))):  # to the first one: a folder may hold an archive's pictures
        return f"{folder}: is a folder; name the images in it, which `find_images` lists"
    return _without_images(folder)


def _without_images(folder: Path) -> str:
    try:
        os.scandir(folder).close()
    except OSError as error:
        return f"{folder}: cannot be listed ({error.strerror}); check its permissions"
    return f"{folder}: no image below this folder (PNG, JPEG, BMP, TIFF or DICOM)"
