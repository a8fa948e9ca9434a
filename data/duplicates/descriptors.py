"""Vectors whose scalar product tells whether two pictures may be the same one, upright or mirrored.

All frontal radiographs look alike: the correlation of two strangers' thumbnails is often above 0.9. What they share is taken out first, by
local contrast (which also takes out brightness, gamma and exposure) and by whitening with the covariance of the pictures at hand. What is
left is specific, and therefore moves with the picture: a crop of a tenth would destroy the agreement. So every picture also looks for
others through VIEWS, windows a little smaller than itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter1d

from cxr.data.duplicates.thumbnails import Thumbnails

Floats = npt.NDArray[np.float32]
View = tuple[float, float, float, float]  # shares of the side cut off left, right, at the top, at the bottom

WHOLE: View = (0.0, 0.0, 0.0, 0.0)
# A cut of up to a tenth at one end of a side lies within 0.025 of 0.025 or 0.075, and that much the descriptors tolerate.
_CUTS = tuple(product((0.025, 0.075), repeat=2))
VIEWS: tuple[View, ...] = (WHOLE, *((left, right, top, bottom) for left, right in _CUTS for top, bottom in _CUTS))

SIDE = 32  # pixels of a view
BAND = 12  # waves of half a period along a side: higher frequencies do not tolerate what lies between two views
GRAIN = 2.0  # pixels: standard deviation of the Gaussian that tells detail from background
CLIP = 1.5  # standard deviations: letters and markers must not outweigh the rest
PRIOR = 100  # pictures' worth of the assumption that all coefficients vary alike: few pictures say little about it
RIDGE = 0.1  # of the mean variance: directions in which the pictures hardly differ are noise


def view(thumbnails: Thumbnails, window: View, side: int = SIDE) -> Floats:
    """Cuts a window out and scales it: float32 [pictures, side, side]."""
    left, right, top, bottom = window
    down, across = _averaging(thumbnails.shape[1], side, top, bottom), _averaging(thumbnails.shape[2], side, left, right)
    return down @ thumbnails.astype(np.float32) @ across.T


def local_contrast(pictures: Floats) -> Floats:
    """Returns each pixel's distance from its surroundings, in standard deviations of them, clipped.

    Args:
      pictures: [pictures, side, side].
    """
    blur, wide = _gaussian(pictures.shape[1], GRAIN), _gaussian(pictures.shape[1], 2 * GRAIN)
    detail = pictures - blur @ pictures @ blur.T
    deviation = np.sqrt(np.maximum(wide @ (detail * detail) @ wide.T, 0))
    floor = 0.2 * _medians(deviation) + 0.5  # grey levels: nothing is made of noise
    return np.clip(detail / (deviation + floor), -CLIP, CLIP)


def spectrum(thumbnails: Thumbnails, window: View) -> Floats:
    """Returns the cosine transform of the local contrast in a window, float32 [pictures, SIDE, SIDE]: waves down, waves across."""
    return dctn(local_contrast(view(thumbnails, window)), axes=(1, 2), norm="ortho")


def coefficients(thumbnails: Thumbnails, window: View = WHOLE) -> Floats:
    """Returns the spectrum in the band, float32 [pictures, coefficients]."""
    return spectrum(thumbnails, window)[:, band()]


@cache
def band() -> npt.NDArray[np.bool_]:
    """Returns which places of a spectrum are looked at, [SIDE, SIDE]."""
    waves = np.arange(SIDE)
    radius = np.hypot(waves[:, None], waves)
    return (radius >= 1) & (radius <= BAND)


@cache
def even() -> npt.NDArray[np.bool_]:
    """Tells of each coefficient whether it stays the same (or changes its sign) when a picture is mirrored, left to right."""
    return np.broadcast_to(np.arange(SIDE) % 2 == 0, (SIDE, SIDE))[band()]


@dataclass(frozen=True)
class Whitening:
    """Takes out what the pictures share and levels how much they vary in each direction.

    Mean and covariance of coefficients are those of the pictures and their mirror images. Even and odd ones therefore stay apart, and a
    mirrored picture's descriptor is the picture's with the sign of the odd part changed.
    """

    mean: Floats  # [coefficients]
    matrix: Floats  # [coefficients, coefficients]

    @classmethod
    def fit(cls, samples: Floats, mask: npt.NDArray[np.bool_]) -> Whitening:
        """Fits to coefficients [pictures, coefficients]; with few pictures it does little, with one nothing.

        Args:
          samples: To fit to.
          mask: [coefficients]; those that mirroring leaves as they are.
        """
        count = len(samples)
        trust = count / (count + PRIOR)
        mean = np.where(mask, samples.mean(axis=0), 0) * trust
        centred = samples - mean
        variance = max(float(np.mean(centred * centred)), 1e-6)  # blank pictures have none
        matrix = np.zeros((len(mask), len(mask)))
        for part in filter(np.any, (mask, ~mask)):
            own = centred[:, part].astype(np.float64)
            covariance = trust * own.T @ own / count + (1 - trust) * variance * np.eye(own.shape[1])
            values, vectors = np.linalg.eigh(covariance)
            matrix[np.ix_(part, part)] = vectors / np.sqrt(np.maximum(values, 0) + RIDGE * variance)
        return cls(mean.astype(np.float32), matrix.astype(np.float32))

    def descriptors(self, samples: Floats) -> Floats:
        """Returns vectors of length 1, float32 [pictures, coefficients]."""
        found = (samples - self.mean) @ self.matrix
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-6)


def _medians(pictures: Floats) -> Floats:
    """Returns the median of each picture, [pictures, 1, 1], as np.median does, which takes five times as long."""
    flat = pictures.reshape(len(pictures), -1)
    middle = flat.shape[1] // 2  # sides are even
    parted = np.partition(flat, middle, axis=1)
    return ((parted[:, :middle].max(axis=1) + parted[:, middle]) / 2)[:, None, None]


@cache
def _averaging(size: int, side: int, start: float, end: float) -> Floats:
    """Returns [side, size]: each row averages the pixels that one pixel of the window covers."""
    edges = np.linspace(start * size, (1 - end) * size, side + 1)
    pixels = np.arange(size)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights = np.clip(covered, 0, None)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


@cache
def _gaussian(size: int, sigma: float) -> Floats:
    """Returns [size, size]: a Gaussian filter along one side, as a matrix (for stacks of small pictures that is fast)."""
    return gaussian_filter1d(np.eye(size, dtype=np.float32), sigma, axis=0, mode="reflect")
