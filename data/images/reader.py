"""The one reader of image files: from PNG, JPEG, BMP, TIFF or DICOM to upright 8-bit grey pixels, and from those to bytes without metadata.

Ingest and the client read through it, so that a model is asked with what it was trained on. Imports neither TensorFlow nor Keras.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, SAMPLEFORMAT

from cxr.core.errors import CxrError
from cxr.core.features import MAX_PIXELS
from cxr.core.machine_faults import check_file_at_fault
from cxr.data.images.decoders import check_scans, says_truncated
from cxr.data.images.errors import ImageError, NotAnImage, SeveralFrames, TooManyPixels, Truncated, Unreadable
from cxr.data.images.grey_levels import MIN_SIDE, check_content, check_size, doubts, picture_range, to_8_bit

# Raise it, and data/ingest's RECORDS_VERSION with it, whenever a file comes to yield other pixels: window, 8-bit mapping, scaling. Models
# carry it, and a client with other rules refuses to ask them. Not for files that yielded no picture before: an error, or noise.
READING_RULES = 1
MAX_SIDE = 1024  # pixels
_DARK = 128  # grey levels
JPEG_QUALITY = 95
PILLOW_FORMATS = ("PNG", "JPEG", "BMP", "TIFF")
HEAD_BYTES = 132  # of a file, enough to tell what it is: of DICOM up to and with its magic
SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".dcm", ".dicom"))


@dataclass(frozen=True)
class GreyImage:
    """A radiograph, upright, dark where nothing absorbs.

    Attributes:
      array: uint8 [height, width].
      source_format: "png", "jpeg", "bmp", "tiff" or "dicom".
      original_size: height and width of the file's picture, pixels.
      remarks: what a DICOM header says against a frontal chest X-ray.
      levels: pixels of each grey level, [256], of the file's picture, before it was scaled down; None: it was not.
    """

    array: np.ndarray
    source_format: str
    original_size: tuple[int, int]
    remarks: tuple[str, ...] = ()
    levels: npt.NDArray[np.int64] | None = None

    @property
    def format(self) -> str:
        """What `encode` makes of it: lossless for lossless sources."""
        return "jpeg" if self.source_format == "jpeg" else "png"

    @cached_property
    def histogram(self) -> npt.NDArray[np.int64]:
        """Pixels of each grey level, [256]."""
        return _histogram(self.array)

    @property
    def doubts(self) -> tuple[str, ...]:
        """What levels and sides of the file's picture say against a chest X-ray."""
        return doubts(self.histogram if self.levels is None else self.levels, *self.original_size)

    @property
    def content_hash(self) -> str:
        """SHA-256 (hex) of size and pixels: equal for the same picture in different files."""
        digest = hashlib.sha256(b"%d %d " % self.array.shape)
        digest.update(np.ascontiguousarray(self.array).data)
        return digest.hexdigest()


def check_rules(rules: int, model: str) -> None:
    """Refuses to read images for a model that was trained on images read otherwise.

    Raises:
      CxrError: It was.
    """
    if rules != READING_RULES:
        raise CxrError(
            f"{model}: the images that it was trained on were read by rules {rules}, this release reads by rules {READING_RULES}, which "
            "yield other pixels; use the release that trained it, or train it again with this one"
        )


def read_image(source: Path | str | bytes, *, max_pixels: int = MAX_PIXELS, max_side: int | None = MAX_SIDE) -> GreyImage:
    """Reads one radiograph.

    Pictures of 8 bits keep their grey levels; colours become luma (ITU-R 601). Where a picture has more than 8 bits per channel, the range
    of values that it really holds, outliers left aside, becomes 0 to 255, linearly: files of 10, 12 and 16 bits then look alike. (16 bits
    with *colour or alpha* are the exception: Pillow hands out their high bytes.) Transparency is composited over black.

    Args:
      source: Path of a file, or its bytes.
      max_pixels: Larger pictures are refused before they are decoded.
      max_side: Longer pictures are scaled down to this many pixels, antialiased; None: never.

    Raises:
      ImageError: The file cannot be used (errors.py names the kinds); the text names the path.
      OSError: There is no such file, or it may not be read.
      CxrError: The machine cannot read it now.
    """
    name = "image" if isinstance(source, bytes) else str(source)
    try:
        if not isinstance(source, bytes) and not os.path.isfile(source) and os.path.exists(source) and not os.path.isdir(source):
            raise NotAnImage("not a regular file")  # of a pipe nobody knows whether anything ever comes out of it
        with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as stream:
            head, remarks = stream.read(HEAD_BYTES), tuple[str, ...]()
            stream.seek(0)
            if not head:
                raise NotAnImage("the file is empty")
            if is_dicom(head):
                from cxr.data.images import dicom  # pydicom takes its time, and is an extra

                grey, size, remarks = dicom.read_pixels(stream, max_pixels)
                kind = "dicom"
            else:
                grey, size, kind = _read_with_pillow(stream, max_pixels, max_side)
        small = shrunk(grey, max_side)
        image = GreyImage(small, kind, size, remarks, None if small is grey else _histogram(grey))
        check_content(image.histogram)
        return image
    except ImageError as error:
        raise type(error)(f"{name}: {error}") from error.__cause__


def encode(image: GreyImage) -> bytes:
    """Encodes as `image.format`: JPEG (quality 95) or PNG, from bare pixels, so that no metadata of the source comes along."""
    out = io.BytesIO()
    picture = Image.fromarray(image.array)
    if image.format == "jpeg":
        picture.save(out, "JPEG", quality=JPEG_QUALITY)
    else:
        picture.save(out, "PNG", compress_level=3)  # 6, the default, takes four times as long for 3 % less
    return out.getvalue()


def _histogram(grey: np.ndarray) -> npt.NDArray[np.int64]:
    return np.array(Image.fromarray(grey).histogram())


def shrunk(grey: np.ndarray, max_side: int | None) -> np.ndarray:
    """Scales uint8 [height, width] down so that the longer side has `max_side` pixels, antialiased; None: never."""
    if max_side is None or max(grey.shape) <= max_side:
        return grey
    scale = max_side / max(grey.shape)
    height, width = (max(MIN_SIDE, round(side * scale)) for side in grey.shape)
    return np.array(Image.fromarray(grey).resize((width, height), Image.Resampling.LANCZOS))


def is_image(head: bytes) -> bool:
    """Tells by the first HEAD_BYTES of a file whether `read_image` would try to decode it."""
    bitmap = head[:2] == b"BM" and head[6:10] == b"\0\0\0\0"  # two letters alone begin many a text
    return bitmap or head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")) or is_dicom(head)


def is_image_file(path: Path) -> bool:
    """Tells by a file's name, or where that says nothing by its first bytes, whether it is meant for an image of a kind that is read."""
    if path.suffix.lower() in SUFFIXES:  # also a broken one, or a link that leads nowhere: it shall be reported, not passed over
        return True
    if not os.path.isfile(path):
        return False
    try:
        with path.open("rb") as stream:
            return is_image(stream.read(HEAD_BYTES))
    except OSError:
        return False


def is_dicom(head: bytes) -> bool:
    """Tells by the first HEAD_BYTES of a file: the magic, or (very old files have none) an element of group 0002 or 0008."""
    return head[128:132] == b"DICM" or (head[:2] in (b"\x02\x00", b"\x08\x00") and head[4:6].isalpha()) or _implicit(head)


def _implicit(head: bytes) -> bool:
    """Tells whether two elements of group 0008 follow each other, lengths and no types before their values (PS3.5, 7.1.3)."""
    try:
        group, element, length = struct.unpack_from("<HHI", head)
        next_group, next_element = struct.unpack_from("<HH", head, 8 + length)
    except struct.error:  # too short
        return False
    return group == next_group == 8 and element < next_element and length % 2 == 0


def _read_with_pillow(stream: io.IOBase, max_pixels: int, max_side: int | None) -> tuple[np.ndarray, tuple[int, int], str]:
    try:
        with Image.open(stream, formats=PILLOW_FORMATS) as picture:  # type: ignore[arg-type]
            kind = "jpeg" if picture.format in ("JPEG", "MPO") else str(picture.format).lower()
            width, height = picture.size
            check_size(height, width, max_pixels)
            if kind == "jpeg":
                check_scans(stream)  # type: ignore[arg-type]
            if kind != "jpeg" and getattr(picture, "is_animated", False):  # not n_frames: it goes through a TIFF's whole chain of pictures
                raise SeveralFrames("holds several pictures; save the one that is meant")
            if kind == "jpeg" and picture.mode in ("L", "RGB"):
                # Luma straight from the decoder; large pictures at an eighth, a quarter or half of their size, yet twice what is needed.
                picture.draft("L", (2 * max_side, 2 * max_side) if max_side else None)
            high_bytes = kind in ("png", "tiff") and not _deep(picture) and any(";16" in str(tile[3]) for tile in picture.tile)
            picture.load()
            # Pillow reads whole numbers of 32 bits as signed ones.
            unsigned = kind == "tiff" and picture.mode == "I" and _unsigned_32(picture.tag_v2)  # type: ignore[attr-defined]
            # Pillow inverts 8-bit pictures whose zero is white, but no deeper ones.
            inverted = kind == "tiff" and _deep(picture) and picture.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == 0  # type: ignore[attr-defined]
            ImageOps.exif_transpose(picture, in_place=True)
            grey = _grey(picture, unsigned)
            if high_bytes and grey.max() < _DARK:
                raise Unreadable("16 bits with colour or alpha, of which it uses less than half; save it as 16-bit grey")
            return 255 - grey if inverted else grey, (height, width), kind
    except ImageError:
        raise
    except UnidentifiedImageError:
        stream.seek(0)
        if is_image(stream.read(HEAD_BYTES)):
            raise Unreadable("begins as an image does, and is damaged or of a kind that cannot be decoded") from None
        raise NotAnImage("not a PNG, JPEG, BMP, TIFF or DICOM file") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise TooManyPixels(f"more pixels than the {max_pixels:,} allowed (max_pixels)") from None
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error, zlib.error and more
        if isinstance(error, OSError):
            check_file_at_fault(error)
        kind_of_error = Truncated if says_truncated(error) else Unreadable
        raise kind_of_error(f"cannot be decoded: {error}") from error


def _unsigned_32(tags: Any) -> bool:
    return tags.get(BITSPERSAMPLE) == (32,) and tags.get(SAMPLEFORMAT, (1,)) == (1,)


def _deep(picture: Image.Image) -> bool:
    return picture.mode.startswith("I") or picture.mode == "F"


def on_black(picture: Image.Image) -> Image.Image:
    """Returns a picture with black where it is transparent."""
    if not picture.has_transparency_data:
        return picture
    layer = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, (0, 0, 0, 255)), layer)


def _grey(picture: Image.Image, unsigned: bool) -> np.ndarray:
    """Returns uint8 [height, width]; `unsigned`: whole numbers of 32 bits are."""
    if _deep(picture):
        values = np.asarray(picture)
        values = values.view(np.uint32) if unsigned else values
        return to_8_bit(values, *picture_range(values))
    picture = on_black(picture)
    if picture.mode != "L":
        picture = picture.convert("RGB").convert("L")  # CMYK, palettes and others have no direct way to grey
    return np.array(picture)
