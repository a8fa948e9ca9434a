"""From what a user names to the bytes that are sent: files, folders, DICOM."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cxr.serving.client.errors import BadImage
from cxr.trainer.errors import CxrError

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".dcm", ".dicom"))
DICOM_MAGIC = b"DICM"  # behind 128 free bytes; DICOM files often have no suffix


def find_images(paths: Iterable[Path]) -> list[Path]:
    """Lists the images that paths name.

    Args:
        paths: files are taken as they are; folders give the images below them (JPEG, PNG, DICOM by suffix, DICOM without one by content),
            hidden files and folders left out.

    Returns:
        Files, those of a folder in alphabetical order. A file named twice comes twice.

    Raises:
        CxrError: a folder holds no image.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        below = sorted(file for file in path.rglob("*") if not _hidden(file.relative_to(path)) and _is_image(file))
        if not below:
            raise CxrError(
                f"{path}: no image below this folder (looked for {', '.join(sorted(SUFFIXES))} and DICOM files without a suffix)"
            )
        found += below
    return found


def encoded(path: Path) -> bytes:
    """Reads an image as `cxr ingest` does, so that a model sees here what it saw in training.

    Args:
        path: JPEG, PNG or DICOM.

    Returns:
        An 8-bit grey picture, upright, encoded for the signature `image_bytes`.

    Raises:
        BadImage: no such file, or no image.
    """
    from cxr.trainer import images  # pydicom and Pillow: not before there is something to read

    try:
        return images.encode(images.read_image(path))
    except (CxrError, OSError) as error:
        raise BadImage(str(error) if str(path) in str(error) else f"{path}: {error}") from None


def _hidden(relative: Path) -> bool:
    return any(part.startswith(".") for part in relative.parts)


def _is_image(file: Path) -> bool:
    suffix = file.suffix.lower()
    if suffix in SUFFIXES:
        return file.is_file()
    if suffix or not file.is_file():
        return False
    with file.open("rb") as stream:
        return stream.read(132)[128:] == DICOM_MAGIC
