"""Small pictures of one size, without uniform borders: what duplicates are looked for in."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from cxr.core.stored_rows import StoredRows
from cxr.data.images import reader

SIDE = 64  # pixels
READ_SIDE = 224  # pixels of the longest side that a picture is scaled to first, or read at; more is not seen
# Of the rows that may be a border: their grey levels differ by no more than this, from each other and from the outermost row's.
FLAT = 12
MIXED = 2  # pixels beside a border that scaling has mixed with it
MAX_TRIMMED = 0.3  # of a side, at each end: beyond it the picture itself is dark

Thumbnails = npt.NDArray[np.uint8]  # [pictures, SIDE, SIDE]
ManyThumbnails = Thumbnails | StoredRows  # the same, in memory or on disk


def thumbnail(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Cuts off uniform borders and scales to SIDE × SIDE, whatever the aspect was: a crop may have changed it.

    Args:
      grey: [height, width].

    Returns:
      [SIDE, SIDE].
    """
    grey = reader.shrunk(grey, READ_SIDE)
    top, bottom = _borders(grey)
    left, right = _borders(grey[top:bottom].T)
    inner = Image.fromarray(np.ascontiguousarray(grey[top:bottom, left:right]))
    # Bilinear: a box filter would sample at uneven places, others than in a copy of another size.
    return np.asarray(inner.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def _borders(grey: npt.NDArray[np.uint8]) -> tuple[int, int]:
    """Returns the first row and the end of what is left when uniform rows are cut off at both ends."""
    low, high = grey.min(axis=1).astype(int), grey.max(axis=1).astype(int)
    limit = int(MAX_TRIMMED * len(grey))

    def width(low: npt.NDArray[np.int_], high: npt.NDArray[np.int_]) -> int:
        border = (np.maximum.accumulate(high) - np.minimum.accumulate(low) <= FLAT)[: limit + 1]
        found = int(border.argmin()) if not border.all() else limit + 1
        return found + MIXED if 0 < found <= limit else 0

    return width(low, high), len(grey) - width(low[::-1], high[::-1])
