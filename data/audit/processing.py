"""Traces that processing leaves in a picture, whatever it shows: sharpness and noise, the blocks of JPEG, gaps between grey levels.

Pictures of one class that came from an archive of their own were compressed, scaled, sharpened or stretched in a way of their own. A
network can learn that, and nobody sees it in the picture.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cxr.data.audit.regions import frame

BLOCK = 8  # pixels: side of the blocks that JPEG compresses one by one (ITU-T T.81, A.1.1)
_LAGS = (1, 2, 4)  # pixels between which grey levels are compared
_LEAST = 1e-3  # grey levels, so that a flat picture has a logarithm

Grey = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


def traces(grey: Grey) -> Floats:
    """Returns 14 numbers that change with processing and hardly with the disease.

    Six are logarithms of ratios, three down and three across: of the mean second difference to the first one, and of mean differences at
    1, 2 and 4 pixels, one to the next. Blur, resampling, sharpening and noise change them; more or less contrast does not. They are of the
    frame alone: in the whole picture lungs take part, and sick ones are told.

    Four are of JPEG's blocks, two down and two across: by how much the jump from one row (column) to the next is larger than those beside
    it, at the one of 8 offsets where that is most; less the median of all offsets, and less the second largest; in units of the mean jump.

    Four are of the histogram: the share of grey levels between the darkest and the brightest that no pixel has, of pixels that are 0, of
    pixels that are 255, and the sum of the histogram's absolute second differences.

    Args:
      grey: [height, width], at the size that is stored: scaling would wipe these traces out, or leave its own.
    """
    levels = grey.astype(np.float32)
    return np.array([*_sharpness(levels), *_blocks(levels), *_histogram(grey)], np.float32)


def _sharpness(grey: Floats) -> list[float]:
    parts = [part if axis == 0 else part.T for axis in (0, 1) for part in frame(grey)]
    found: list[float] = []
    for own in (parts[:4], parts[4:]):
        second = _mean([np.diff(part, 2, axis=0) for part in own])
        first, *further = (_mean([part[lag:] - part[:-lag] for part in own]) for lag in _LAGS)
        found += np.log([second / first, first / further[0], further[0] / further[1]]).tolist()
    return found


def _mean(differences: list[Floats]) -> float:
    """The mean size of some differences, of any number of them."""
    return sum(float(np.abs(part).sum()) for part in differences) / max(1, sum(part.size for part in differences)) + _LEAST


def _blocks(grey: Floats) -> list[float]:
    found: list[float] = []
    for axis in (0, 1):
        jumps = np.abs(np.diff(grey, axis=axis)).mean(axis=1 - axis)
        excess = jumps[1:-1] - (jumps[:-2] + jumps[2:]) / 2
        offsets = np.arange(len(excess)) % BLOCK
        counts = np.bincount(offsets, minlength=BLOCK)
        means = np.sort(np.bincount(offsets, excess, BLOCK) / np.maximum(counts, 1)) / (jumps.mean() + _LEAST)
        found += [float(means[-1] - np.median(means)), float(means[-1] - means[-2])]
    return found


def _histogram(grey: Grey) -> list[float]:
    shares = np.bincount(grey.ravel(), minlength=256) / grey.size
    used = np.flatnonzero(shares)
    between = shares[used[0] : used[-1] + 1]
    return [float(np.mean(between == 0)), float(shares[0]), float(shares[255]), float(np.abs(np.diff(between, 2)).sum())]
