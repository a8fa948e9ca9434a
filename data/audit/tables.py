"""What each shortcut knows of an image: a small row of numbers.

Larger pictures are scaled down to one size first: how large they were is the shortcut `size`'s alone. Only `processing` sees them as they
are stored, since scaling would wipe its traces out.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import grey_opening
from scipy.stats import rankdata

from cxr.core import features
from cxr.core.errors import CxrError
from cxr.data.audit.processing import traces
from cxr.data.audit.regions import FRAME, blacked_out, corners

SIDE = features.IMAGE_SIZE  # pixels that larger pictures are scaled down to
THUMBNAIL = 25  # pixels; its outermost two are the frame (regions.FRAME)
CORNER_THUMBNAIL = 8  # pixels, of each corner
BINS = 16  # of the grey histogram
MARK_CELLS = 16  # a side: letters are looked for in each of so many by so many parts of the picture
STROKE = 5  # pixels: what is not this wide may be a letter's stroke; one of letters of 9 % of a side is about three wide
# Grey levels that a stroke is brighter than both its sides. With 25 or 32 a forest told sick lungs in synthetic pictures of 128 pixels
# (AUC 0.89, 0.77); with this it does not.
STROKE_CONTRAST = 48
# Grey levels that a sharp edge is high. With 80 a forest told large white marks worse (real pictures, AUC 0.74 in place of 0.88); with 64
# it told sick lungs in synthetic pictures of 128 pixels a little (0.68), in those of 224 not at all.
EDGE_CONTRAST = 64
HALVES = 24  # pixels: side of the thumbnail whose left half is compared with its right one
_EDGE = round(FRAME * THUMBNAIL)

Row = list[float] | list[str] | npt.NDArray[np.float32]


@dataclass(frozen=True)
class Example:
    """One record."""

    facts: Mapping[str, str]  # source, format, view, sex, age_band
    height: int  # pixels of the stored picture
    width: int
    stored: npt.NDArray[np.uint8]  # [height, width], the picture

    @cached_property
    def grey(self) -> npt.NDArray[np.uint8]:
        """The picture scaled down to SIDE × SIDE at most, whatever its aspect; enlarging would blur it, and that be measured."""
        height, width = self.stored.shape
        return np.asarray(Image.fromarray(self.stored).resize((min(SIDE, width), min(SIDE, height)), Image.Resampling.BILINEAR))


@dataclass(frozen=True)
class Shortcut:
    """One view of an image, and the row of numbers or words that it sees.

    Attributes:
      name: For tables and settings.
      phrase: For sentences: "{phrase} alone tells …".
      row: Of one example.
      reference: It may tell the class; it is measured beside the others for comparison, and no gate asks about it.
      words: The row holds words (categories), not numbers.
      mirrored: The row of a mirrored picture is this one's with the other sign, and only that sign may tell (classifier.py).
    """

    name: str
    phrase: str
    row: Callable[[Example], Row]
    reference: bool = False
    words: bool = False
    mirrored: bool = False

    @property
    def tables(self) -> Sequence[str]:
        """Names of the shortcuts whose rows it sees: its own."""
        return (self.name,)


@dataclass(frozen=True)
class Joint:
    """A shortcut that sees the rows of others side by side.

    Attributes:
      name: For tables and settings.
      phrase: As a Shortcut's.
      tables: Names of the others.
    """

    name: str
    phrase: str
    tables: Sequence[str]
    reference: bool = False
    mirrored: bool = False


def decode(encoded: bytes) -> npt.NDArray[np.uint8]:
    """Returns a stored picture at its own size, uint8 [height, width].

    Raises:
      CxrError: It cannot be decoded.
    """
    try:
        with Image.open(io.BytesIO(encoded), formats=("PNG", "JPEG")) as picture:
            return np.array(picture.convert("L"))
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error, zlib.error and more
        raise CxrError(f"a picture in the records cannot be decoded ({error}); make them again with `cxr ingest`") from None


# === Rows ===


def _words(*names: str) -> Callable[[Example], Row]:
    return lambda example: [example.facts[name] for name in names]


def _size(example: Example) -> Row:
    return [example.height, example.width, example.width / example.height]


def _brightness(example: Example) -> Row:
    return [float(example.grey.mean()), float(example.grey.std())]


def _grey_histogram(example: Example) -> Row:
    """16 shares of grey levels, and the mean absolute difference of neighbours across and down: 18 numbers."""
    grey = example.grey.astype(np.float32)
    counts = np.histogram(grey, BINS, (0, 256))[0] / grey.size
    return np.r_[counts, np.abs(np.diff(grey, axis=1)).mean(), np.abs(np.diff(grey, axis=0)).mean()].astype(np.float32)


def _corners(example: Example) -> Row:
    return np.concatenate([_thumbnail(part, CORNER_THUMBNAIL).ravel() for part in corners(example.grey)])


def _border(example: Example) -> Row:
    framed = _thumbnail(blacked_out(example.grey, "centre"), THUMBNAIL)
    inside = np.zeros_like(framed, bool)
    inside[_EDGE:-_EDGE, _EDGE:-_EDGE] = True
    return framed[~inside]


def _marks(example: Example) -> Row:
    """How much the brightest thin stroke in each of 16×16 cells stands out, in grey levels; 0 where no stroke does enough: 256 numbers.

    A mean over a cell, as thumbnails are, would dilute a stroke. The whole picture is looked at, since a letter may stand anywhere.
    """
    strokes = example.grey - grey_opening(example.grey, (STROKE, STROKE))
    return np.maximum(_largest_in_cells(strokes) - STROKE_CONTRAST, 0).ravel()


def _edges(example: Example) -> Row:
    """How high the sharpest edge in each of 16×16 cells is, within two pixels, in grey levels above EDGE_CONTRAST: 256 numbers.

    Signs that are wider than a stroke, or dark, have such edges, and so have frames and collimators. What a disease changes is soft.
    """
    grey = example.grey.astype(np.float32)
    heights = np.zeros_like(grey)
    for out, levels in ((heights, grey), (heights.T, grey.T)):
        out[1:-1] = np.maximum(out[1:-1], np.abs(levels[2:] - levels[:-2]))
    return np.maximum(_largest_in_cells(heights) - EDGE_CONTRAST, 0).ravel()


def _largest_in_cells(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Returns the largest of the values [height, width] in each of 16×16 cells."""
    rows, columns = (np.arange(MARK_CELLS) * side // MARK_CELLS for side in values.shape)
    return np.maximum.reduceat(np.maximum.reduceat(values, rows, axis=0), columns, axis=1).astype(np.float32)


def _left_and_right(example: Example) -> Row:
    """By how much places on the left are brighter than those that face them: 24×12 numbers.

    Of ranks of grey levels, so that exposure plays no part; equal ones have the same rank, so that no black border looks like a side. All
    numbers together have a mean square of 1, so that a person with one white lung counts as one person.
    """
    thumbnail = _thumbnail(example.grey, HALVES)
    ranks = rankdata(thumbnail).reshape(thumbnail.shape)
    difference = (ranks - ranks[:, ::-1])[:, : HALVES // 2].ravel()
    size = np.sqrt(np.mean(difference**2))
    return (difference / size if size else difference).astype(np.float32)


def _processing(example: Example) -> Row:
    return traces(example.stored)


def _centre(example: Example) -> Row:
    return _thumbnail(blacked_out(example.grey, "border"), THUMBNAIL)[_EDGE:-_EDGE, _EDGE:-_EDGE].ravel()


def _whole(example: Example) -> Row:
    return _thumbnail(example.grey, THUMBNAIL).ravel()


def _thumbnail(grey: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.float32]:
    return np.asarray(Image.fromarray(np.ascontiguousarray(grey)).resize((side, side), Image.Resampling.BOX), np.float32)


METADATA = ("source", "file_type", "view", "sex_and_age", "size")  # that are known of a picture before anybody looks at it
SHORTCUTS: Sequence[Shortcut | Joint] = (
    Shortcut("source", "the source", _words(features.SOURCE), words=True),
    Shortcut("file_type", "the file type", _words(features.FORMAT), words=True),
    Shortcut("view", "the view", _words(features.VIEW), words=True),
    Shortcut("sex_and_age", "sex and age", _words(features.SEX, features.AGE_BAND), words=True),
    Shortcut("size", "the picture's size", _size),
    Shortcut("brightness", "brightness and contrast", _brightness),
    Shortcut("grey_histogram", "the grey histogram", _grey_histogram),
    Shortcut("corners", "the corners", _corners),
    Shortcut("border", "the border", _border),
    Shortcut("marks", "marks in the picture", _marks),
    Shortcut("edges", "sharp edges in the picture", _edges),
    Shortcut("left_and_right", "left and right (mirrored pictures)", _left_and_right, mirrored=True),
    Shortcut("processing", "traces of processing", _processing),
    # What tells little by itself may tell much together. Corners, border and marks are not joined: a machine sets the grey of the whole
    # picture by the lungs, and all together told covid19 of clean synthetic pictures (AUC 0.842, surely above 0.8), real ones no better.
    Joint("metadata", "all metadata", METADATA),
    Joint("metadata_and_grey", "all metadata and grey levels", (*METADATA, "brightness", "grey_histogram")),
    Shortcut("centre", "a thumbnail of the centre", _centre, reference=True),
    Shortcut("whole_picture", "a thumbnail of the whole picture", _whole, reference=True),
)
MEASURED: Mapping[str, Shortcut] = {shortcut.name: shortcut for shortcut in SHORTCUTS if isinstance(shortcut, Shortcut)}
