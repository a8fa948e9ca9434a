"""What the parts of a synthetic chest are drawn with: a canvas in centimetres, soft edges, smooth noise, tubes.

Canvas coordinates are the body's: x runs from the midline to the picture's right (the patient's left), y downwards from the top of the
lungs; both in cm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, reduce
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

Field = npt.NDArray[np.floating]  # [rows, columns] of a canvas; float32, as it takes half the time
Box = tuple[slice, slice]  # rows and columns of a canvas
SIDES = (-1, 1)  # the picture's left and right, which are the patient's right and left

DEVIATION = 1.45  # makes the deviation of smooth noise about 1, per axis
TUBE_SIGMA = 0.55  # of the Gaussian that a tube's shadow is drawn as, times its radius
TUBE_REACH = 2.5  # of that Gaussian, in sigmas
FADED = 5  # widths of a soft edge beyond which nothing is left
RADII_PER_OCTAVE = 1  # tubes of about the same radius are blurred together


@dataclass(frozen=True)
class Canvas:
    """A square piece of the plane that the chest is projected on.

    Attributes:
      pixels: Its side.
      side: The same in cm.
      top: y of its upper edge, cm.
    """

    pixels: int
    side: float
    top: float

    @cached_property
    def x(self) -> Field:
        """Of the columns' centres, float32 [1, pixels]."""
        return ((np.arange(self.pixels, dtype=np.float32) + 0.5) * self.pitch - self.side / 2)[None, :].astype(np.float32)

    @cached_property
    def y(self) -> Field:
        """Of the rows' centres, float32 [pixels, 1]."""
        return ((np.arange(self.pixels, dtype=np.float32) + 0.5) * self.pitch + self.top)[:, None].astype(np.float32)

    @property
    def pitch(self) -> float:
        """Of the pixels, cm."""
        return self.side / self.pixels

    def zeros(self) -> Field:
        """Returns an empty field."""
        return np.zeros((self.pixels, self.pixels), np.float32)

    def rows(self, low: float, high: float) -> slice:
        """Returns the rows between two y, cm."""
        first, last = ((value - self.top) / self.pitch for value in (low, high))
        return slice(max(0, int(first)), max(0, min(self.pixels, int(last) + 2)))

    def columns(self, low: float, high: float) -> slice:
        """Returns the columns between two x, cm."""
        first, last = ((value + self.side / 2) / self.pitch for value in (low, high))
        return slice(max(0, int(first)), max(0, min(self.pixels, int(last) + 2)))

    def around(self, points: Sequence[tuple[float, float]], reach: float) -> Box:
        """Returns the box of all that is at most so far from some points (x, y), cm, or from lines between them."""
        (left, right), (top, bottom) = ((min(line), max(line)) for line in zip(*points, strict=True))
        return self.rows(top - reach, bottom + reach), self.columns(left - reach, right + reach)


def soft(distance: Field, edge: float) -> Field:
    """Returns 1 where distance is well below 0, 0 well above, and a smooth step of about that width between.

    In float32 it is 0 from FADED times the width on, exactly.
    """
    step = distance * np.float32(2 / edge)
    np.tanh(step, out=step)
    step *= np.float32(-0.5)
    step += np.float32(0.5)
    return step


class Spots(NamedTuple):
    """Single pixels of a box, for what is drawn on few of many: each int [spots]."""

    row: npt.NDArray[np.intp]
    column: npt.NDArray[np.intp]
    flat: npt.NDArray[np.intp]  # of both, in a box that lies in one piece

    @classmethod
    def where(cls, chosen: npt.NDArray[np.bool_]) -> Spots:
        """Returns the spots that are True in a box."""
        flat = np.flatnonzero(chosen)
        row = flat // chosen.shape[1]  # with the next line a fifth of what np.nonzero takes
        return cls(row, flat - row * chosen.shape[1], flat)

    def of(self, field: Field) -> Field:
        """Returns the values of a box's field, [spots]."""
        return field.reshape(-1)[self.flat]

    def add(self, total: Field, box: Box, values: Field) -> None:
        """Adds values, [spots], to the field of the whole canvas that the box is a part of."""
        rows, columns = box
        total.reshape(-1)[(rows.start + self.row) * total.shape[1] + (columns.start + self.column)] += values


def shrunk(field: Field, times: int) -> Field:
    """Returns the means of squares of so many pixels; what is left over at the right and below is cut off."""
    whole = len(field) // times * times
    sums = field[:whole, :whole]
    for _ in range(2):  # columns, then rows: ten times as fast as a mean over axes, and the same to the bit
        sums = reduce(np.add, (sums[:, k::times] for k in range(times))).T
    return sums / np.float32(times**2)


def root(values: Field) -> Field:
    """Returns the square roots, 0 for what is negative: half the chord of a disc at some distance."""
    positive = np.maximum(values, 0)
    return np.sqrt(positive, out=positive)


def noise(rng: np.random.Generator, canvas: Canvas, grain: float, box: Box = (slice(None), slice(None))) -> Field:
    """Returns smooth noise of mean 0 and deviation about 1, float32 [pixels, pixels].

    It is drawn on a grid as coarse as its structures, so that it costs little and a picture looks the same at any number of pixels.

    Args:
      rng: Draws it, the whole canvas' whatever is asked for.
      canvas: Where.
      grain: Distance of the grid's points, cm; blobs are about twice as wide.
      box: The rows and columns that are asked for.
    """
    knots = int(np.ceil(canvas.side / grain)) + 3
    field = rng.standard_normal((knots, knots)).astype(np.float32)
    cell, weights = _cubic(canvas.pixels, canvas.side / grain)
    for lines in box:  # one axis after the other, always as rows: these are copied ten times as fast as columns
        first, *others = (field[cell[lines] + k] for k in range(len(weights)))
        first *= weights[0, lines, None]
        for other, weight in zip(others, weights[1:], strict=True):
            other *= weight[lines, None]
            first += other
        field = np.ascontiguousarray(first.T)
    return field


@lru_cache(maxsize=64)
def _cubic(pixels: int, cells: float) -> tuple[npt.NDArray[np.intp], Field]:
    """Returns the first of the four knots that each pixel of a line depends on, and their weights [4, pixels]: a cubic B-spline's."""
    at = (np.arange(pixels) + 0.5) / pixels * cells
    cell = np.floor(at).astype(np.intp)
    t = at - cell
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]) / 6
    return cell, (weights * DEVIATION).astype(np.float32)


def tubes(canvas: Canvas, points: npt.NDArray[np.floating], radii: npt.NDArray[np.floating], step: float) -> Field:
    """Returns the thickness (cm) of round tubes seen from the front, float32 [pixels, pixels].

    Each point stands for a piece `step` long. Its volume is put into the nearest pixel and spread by a Gaussian as wide as the tube: so
    tubes narrower than a pixel are as faint as they should be.

    Args:
      canvas: Where.
      points: Along the tubes' axes, cm, [points, 2] as x, y.
      radii: cm, [points].
      step: Distance of the points along a tube, cm.
    """
    total = canvas.zeros()
    column = np.floor((points[:, 0] + canvas.side / 2) / canvas.pitch).astype(int)
    row = np.floor((points[:, 1] - canvas.top) / canvas.pitch).astype(int)
    if min(row.min(initial=0), column.min(initial=0)) < 0 or max(row.max(initial=0), column.max(initial=0)) >= canvas.pixels:
        inside = (column >= 0) & (column < canvas.pixels) & (row >= 0) & (row < canvas.pixels)
        column, row, radii = column[inside], row[inside], radii[inside]
    octave = np.round(RADII_PER_OCTAVE * np.log2(np.maximum(radii, 1e-3))).astype(np.int8)
    volume = np.pi * radii**2 * step / canvas.pitch**2
    for level in range(octave.min(initial=127), octave.max(initial=-128) + 1):
        chosen = np.flatnonzero(octave == level)
        if not len(chosen):
            continue
        radius = 2.0 ** (level / RADII_PER_OCTAVE)
        # never narrower than half a pixel: single points would show
        sigma = max(TUBE_SIGMA * radius / canvas.pitch, 0.5)
        spread = int(TUBE_REACH * sigma + 1)
        rows, columns = (_stretch(line[chosen], spread, canvas.pixels) for line in (row, column))
        part = total[rows, columns]
        place = (row[chosen] - rows.start) * part.shape[1] + (column[chosen] - columns.start)
        drawn = np.bincount(place, volume[chosen], part.size).astype(np.float32)
        part += gaussian_filter(drawn.reshape(part.shape), sigma, truncate=TUBE_REACH)
    return total


def _stretch(line: npt.NDArray[np.intp], more: int, end: int) -> slice:
    """Returns what of a line of pixels from 0 to `end` is at most so many pixels away from some of them."""
    return slice(max(0, int(line.min()) - more), min(end, int(line.max()) + more + 1))


def curve(corners: npt.ArrayLike, step: float) -> npt.NDArray[np.float64]:
    """Returns points at about that distance along a smooth line through some corners, [points, 2]."""
    from scipy.interpolate import CubicSpline

    corners = np.asarray(corners, float)
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(corners, axis=0).T))])
    return CubicSpline(along, corners)(np.arange(0, along[-1], step))
