"""Where the disease shows in a radiograph: masks that somebody drew, or that the generator of synthetic ones knows."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from cxr.core.features import MAX_PIXELS
from cxr.core.machine_faults import check_file_at_fault
from cxr.data.images.decoders import check_scans
from cxr.data.images.errors import ImageError, TooManyPixels, Unreadable
from cxr.data.images.reader import PILLOW_FORMATS, on_black

_SET = 127  # grey levels above this are part of the disease
_SKEW = 0.02  # of the ratio of the sides: what rounding in a resized mask may take


class WrongMask(ImageError):
    """A mask that does not belong to its picture."""

    reason = "mask of other proportions"


class DarkMask(ImageError):
    """A mask that is nowhere bright, and not black with one other level either."""

    reason = "mask without a bright place"


def read_mask(path: Path | str, height: int, width: int) -> bytes | None:
    """Reads the mask of a picture.

    Args:
      path: PNG, JPEG, BMP or TIFF, bright where the disease shows; or black with one other level there, however dark (0 and 1).
      height: Of the picture, upright, pixels.
      width: Of it.

    Returns:
      PNG of the picture's size, 255 where the disease shows, else 0; None where it shows nowhere.

    Raises:
      ImageError: No picture, one of other proportions than the picture, or none of the two kinds above; the text names the path.
      OSError: There is no such file, or it may not be read.
      CxrError: The machine cannot read it now.
    """
    with open(path, "rb") as stream:
        try:
            with Image.open(stream, formats=PILLOW_FORMATS) as picture:  # not all that Pillow knows: PostScript is a program
                if picture.width * picture.height > MAX_PIXELS:
                    raise TooManyPixels(
                        f"{path}: the mask has {picture.width}x{picture.height} pixels, more than the {MAX_PIXELS:,} allowed"
                    )
                if picture.format in ("JPEG", "MPO"):
                    check_scans(stream)
                levels = _levels(picture)
        except (TooManyPixels, MemoryError):
            raise
        except Exception as error:  # Pillow's decoders raise what they like; OSError too, for a place in the file that cannot be
            if isinstance(error, OSError):
                check_file_at_fault(error)
            raise Unreadable(f"{path}: the mask cannot be decoded: {error}") from None
    mask = levels > (_SET if levels.max() > _SET else 0)
    if 0 < levels.max() <= _SET and (levels.min() > 0 or len(np.unique(levels)) > 2):
        raise DarkMask(f"{path}: no grey level of the mask is above {_SET}, and it is not black with one other; draw white on black")
    rows, columns = mask.shape
    if abs(rows * width / (columns * height) - 1) > _SKEW:
        raise WrongMask(f"{path}: the mask has {columns}x{rows} pixels, its picture {width}x{height}: they differ in their proportions")
    if not mask.any():
        return None
    out = io.BytesIO()
    pixels = Image.fromarray(mask.astype(np.uint8) * 255)
    if (rows, columns) != (height, width):
        pixels = pixels.resize((width, height), Image.Resampling.NEAREST)
    pixels.save(out, "PNG")
    return out.getvalue()


def _levels(picture: Image.Image) -> npt.NDArray[np.uint8]:
    """Returns uint8 [height, width], upright as pictures are read; what is transparent is black, and of fractions 1 is white."""
    ImageOps.exif_transpose(picture, in_place=True)
    if picture.mode == "F":
        values = np.nan_to_num(np.asarray(picture))  # what is no number shows nothing
        return (values * (255 if values.max() <= 1 else 1)).clip(0, 255).astype(np.uint8)
    return np.asarray(on_black(picture).convert("L"))


def decode_mask(png: bytes) -> npt.NDArray[np.bool_]:
    """Returns what `read_mask` encoded, bool [height, width]."""
    with Image.open(io.BytesIO(png)) as picture:
        return np.asarray(picture.convert("L")) > _SET
