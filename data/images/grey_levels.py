"""From the values that a detector or a file stores to the 256 grey levels of a picture, and whether there is a picture at all.

Imports neither TensorFlow nor Keras. trainer/decoding.py takes the same steps in the exported graph.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from cxr.data.images.errors import Blank, TooManyPixels, TooSmall, Unreadable

# Between these quantiles lies what surely is picture: markers and labels cover less than the rest. Values beyond still count as
# picture up to a margin, a share of the bulk's range. Of 187 radiographs this cuts more than 0.1 % of the pixels in 4 (at most 0.4 %).
BULK = (0.02, 0.98)
MARGIN = 0.5
MIN_SIDE = 16  # pixels of a picture; pipeline/schema.pbtxt says the same
SAMPLE = 1_000_000  # about so many values, evenly spread, are looked at for the quantiles
CONTENT = (0.01, 0.99)  # quantiles of the grey levels that a picture is judged by
# Of 1,009 radiographs of two public collections none has fewer than 108 grey levels, or a side more than 1.5 times as long as the other.
FEW_LEVELS = 16
LONG = 3
MIN_SPREAD = 8  # grey levels between them; pictures with less show nothing to a reader


def check_size(height: int, width: int, max_pixels: int) -> None:
    """Refuses sizes out of bounds, before anything is decoded."""
    if height * width > max_pixels:
        raise TooManyPixels(f"{width}x{height} pixels are more than the {max_pixels:,} allowed (max_pixels)")
    if min(height, width) < MIN_SIDE:
        raise TooSmall(f"{width}x{height} pixels; a side needs at least {MIN_SIDE}")


def picture_range(values: npt.NDArray) -> tuple[float, float]:
    """Finds the values that shall become black and white where a file does not say: the least and the largest, outliers left aside.

    One defective pixel or a burnt-in marker at the top of a 16-bit range would otherwise blacken a 12-bit radiograph. A quantile is
    the value that has this share of the others below it (no interpolation), so that a histogram finds the same.

    Args:
      values: Any shape, not empty; integers or floats.

    Raises:
      Unreadable: Values that are no numbers.
    """
    sample = values.ravel()[:: max(1, values.size // SAMPLE)]
    first, last = (float(value) for value in np.quantile(sample, BULK, method="lower"))
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([first, last, low, high]).all():
        raise Unreadable("holds values that are no numbers")
    margin = MARGIN * (last - first)
    return max(low, first - margin), min(high, last + margin)


def to_8_bit(values: npt.NDArray, low: float, high: float) -> npt.NDArray[np.uint8]:
    """Maps [low, high] to 0…255, linearly; what lies outside is cut off. `low` may be the larger one; equal ones give black."""
    if low == high:
        return np.zeros(values.shape, np.uint8)
    scaled = (values.astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low))
    return np.clip(np.rint(scaled, out=scaled), 0, 255, out=scaled).astype(np.uint8)


def mean_and_deviation(histogram: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Returns mean and standard deviation of the grey levels; the sums are of whole numbers, hence exact.

    Args:
      histogram: Pixels of each level, [256].
    """
    levels = np.arange(len(histogram))
    count, total, squares = (int(histogram @ weights) for weights in (levels**0, levels, levels**2))
    return total / count, math.sqrt(count * squares - total**2) / count


def doubts(histogram: npt.NDArray[np.int64], height: int, width: int) -> tuple[str, ...]:
    """Returns what a picture's levels and sides say against a chest X-ray: a drawing or a scanned text, a strip.

    Args:
      histogram: Pixels of each grey level, [256], before the picture was scaled, which adds levels.
      height: Of the file's picture, pixels.
      width: The same.
    """
    found = []
    if np.count_nonzero(histogram) <= FEW_LEVELS:
        found.append(f"no more than {FEW_LEVELS} grey levels")
    if max(height, width) > LONG * min(height, width):
        found.append(f"one side is more than {LONG} times as long as the other")
    return tuple(found)


def check_content(histogram: npt.NDArray[np.int64]) -> None:
    """Refuses pictures with (nearly) nothing on them, however bright a few of their pixels are.

    Args:
      histogram: Pixels of each grey level, [256].

    Raises:
      Blank: 98 % of the pixels lie within fewer than MIN_SPREAD grey levels.
    """
    below = np.cumsum(histogram)
    first, last = (int(np.searchsorted(below, int(share * (below[-1] - 1)), side="right")) for share in CONTENT)
    if last - first >= MIN_SPREAD:
        return
    kind = "black" if last < MIN_SPREAD else "white" if first > 255 - MIN_SPREAD else "one grey level"
    raise Blank(f"nearly {kind} throughout: 98 % of the pixels lie between the grey levels {first} and {last} of 255")
