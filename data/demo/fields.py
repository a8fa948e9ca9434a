"""What the parts of a synthetic chest are drawn with: a canvas in centimetres, soft edges, smooth noise, tubes.

Canvas coordinates are the body's: x runs from the midline to the picture's right (the patient's left), y downwards from the top of the
lungs; both in cm.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

Field = npt.NDArray[np.floating]  # [rows, columns] of a canvas; float32, as it takes half the time
SIDES = (-1, 1)  # the picture's left and right, which are the patient's right and left

DEVIATION = 1.45  # makes the deviation of smooth noise about 1, per axis
TUBE_SIGMA = 0.55  # of the Gaussian that a tube's shadow is drawn as, times its radius
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


def soft(distance: Field, edge: float) -> Field:
    """Returns 1 where distance is well below 0, 0 well above, and a smooth step of about that width between."""
    return np.float32(0.5) - np.float32(0.5) * np.tanh(distance * np.float32(2 / edge))


def shrunk(field: Field, times: int) -> Field:
    """Returns the means of squares of so many pixels; what is left over at the right and below is cut off."""
    side = len(field) // times
    return field[: side * times, : side * times].reshape(side, times, side, times).mean((1, 3))


def root(values: Field) -> Field:
    """Returns the square roots, 0 for what is negative: half the chord of a disc at some distance."""
    return np.sqrt(np.maximum(values, 0))


def noise(rng: np.random.Generator, canvas: Canvas, grain: float) -> Field:
    """Returns smooth noise of mean 0 and deviation about 1, float32 [pixels, pixels].

    It is drawn on a grid as coarse as its structures, so that it costs little and a picture looks the same at any number of pixels.

    Args:
      rng: Draws it.
      canvas: Where.
      grain: Distance of the grid's points, cm; blobs are about twice as wide.
    """
    knots = int(np.ceil(canvas.side / grain)) + 3
    field = rng.standard_normal((knots, knots)).astype(np.float32)
    cell, weights = _cubic(canvas.pixels, canvas.side / grain)
    field = sum(weight[:, None] * field[cell + k] for k, weight in enumerate(weights))
    return sum(weight * field[:, cell + k] for k, weight in enumerate(weights))


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
    inside = (column >= 0) & (column < canvas.pixels) & (row >= 0) & (row < canvas.pixels)
    octave = np.round(RADII_PER_OCTAVE * np.log2(np.maximum(radii, 1e-3))).astype(int)
    for level in np.unique(octave[inside]):
        chosen = inside & (octave == level)
        volume = np.pi * radii[chosen] ** 2 * step / canvas.pitch**2
        drawn = np.bincount(row[chosen] * canvas.pixels + column[chosen], volume, canvas.pixels**2)
        radius = 2.0 ** (level / RADII_PER_OCTAVE)
        # never narrower than half a pixel: single points would show
        sigma = max(TUBE_SIGMA * radius / canvas.pitch, 0.5)
        total += gaussian_filter(drawn.reshape(canvas.pixels, canvas.pixels).astype(np.float32), sigma, truncate=2.5)
    return total


def curve(corners: npt.ArrayLike, step: float) -> npt.NDArray[np.float64]:
    """Returns points at about that distance along a smooth line through some corners, [points, 2]."""
    from scipy.interpolate import CubicSpline

    corners = np.asarray(corners, float)
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(corners, axis=0).T))])
    return CubicSpline(along, corners)(np.arange(0, along[-1], step))
