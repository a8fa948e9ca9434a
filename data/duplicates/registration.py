"""Lays one picture over another, and says how well they then agree, place by place."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates

from cxr.data.duplicates import descriptors
from cxr.data.duplicates.descriptors import WHOLE, Floats, View
from cxr.data.duplicates.thumbnails import SIDE, Thumbnails

COARSE, FINE = 32, SIDE  # pixels of a side
FIRST_ITERATIONS, COARSE_ITERATIONS, FINE_ITERATIONS = 3, 10, 4
PROMISING = 0.4  # agreement after the first iterations: 19 of 20 candidates are strangers' and stay below it
MAX_STEP = 0.1  # of half a side, in one iteration
TILES = 8  # along a side
QUANTILE = 0.25  # of the tiles' correlations: up to a quarter of a picture may lie under letters or markers
MIN_COVERED = 0.5  # of the tiles: less in common is no basis for a judgement
TEXTURE = 0.1  # variance of the local contrast: a tile with less is background and says nothing
MIN_SCALE, MAX_SCALE, MAX_SHEAR = 0.7, 1.43, 0.15  # what was done to a picture stays within these

Maps = npt.NDArray[np.float64]  # [pairs, 2, 3], affine; coordinates run from -1 to 1 across a picture


def agreement(moving: Thumbnails, fixed: Thumbnails, maps: Maps) -> npt.NDArray[np.float64]:
    """Registers pairs of pictures and tells how well they agree.

    Args:
      moving: [pairs, SIDE, SIDE].
      fixed: The same.
      maps: From fixed to moving, roughly (`start`).

    Returns:
      [pairs], -1 to 1: the correlation that three quarters of the common tiles reach. Two pictures of one person agree in many places, but
      not in all (breath, heart beat, posture). -1 where the map is none that a copy would need, or hardly anything is in common.
    """
    result = np.full(len(maps), -1.0)
    maps = register(moving, fixed, maps, COARSE, FIRST_ITERATIONS)
    kept = np.flatnonzero(_by_tiles(moving, fixed, maps) >= PROMISING)
    if len(kept):
        moving, fixed = moving[kept], fixed[kept]
        maps = register(moving, fixed, maps[kept], COARSE, COARSE_ITERATIONS)
        maps = register(moving, fixed, maps, FINE, FINE_ITERATIONS)
        result[kept] = _by_tiles(moving, fixed, maps)
    return result


def start(window: View, mirrored: bool) -> npt.NDArray[np.float64]:
    """Returns the affine map [2, 3] from a picture to the window of another. Coordinates run from -1 to 1."""
    left, right, top, bottom = window
    across, down = 1 - left - right, 1 - top - bottom
    return np.array([[-across if mirrored else across, 0, left - right], [0, down, top - bottom]])


def register(moving: Thumbnails, fixed: Thumbnails, maps: Maps, side: int, iterations: int) -> Maps:
    """Improves affine maps so that moving(map(x)) agrees with fixed(x) in local contrast.

    Inverse compositional Gauss-Newton (Baker and Matthews, Lucas-Kanade 20 Years On, IJCV 56, 2004, section 3.2), many pairs at a time. The
    contrast is taken after warping: what is local depends on the scale.

    Args:
      moving: [pairs, SIDE, SIDE].
      fixed: The same.
      maps: To start from.
      side: Pixels that the pictures are scaled to.
      iterations: How many.
    """
    goal, source = _contrast(fixed, side), descriptors.view(moving, WHOLE, side)
    x, y = _grid(side)
    slope_y, slope_x = (slope * (side / 2) for slope in np.gradient(goal, axis=(1, 2)))
    # How the goal changes with each of the six numbers of a map.
    steepest = np.stack([slope_x * x, slope_x * y, slope_x, slope_y * x, slope_y * y, slope_y], axis=1).reshape(len(goal), 6, -1)
    hessian = steepest @ steepest.transpose(0, 2, 1)
    hessian += 1e-3 * (np.trace(hessian, axis1=1, axis2=2)[:, None, None] / 6 + 1) * np.eye(6)
    for _ in range(iterations):
        warped, inside = _warped(source, maps)
        error = np.where(inside, warped - goal, 0).reshape(len(goal), -1, 1)
        step = np.linalg.solve(hessian, steepest @ error).reshape(-1, 2, 3)
        maps = (_square(maps) @ np.linalg.inv(_square(np.clip(step, -MAX_STEP, MAX_STEP) + np.eye(2, 3))))[:, :2]
    return maps


def _by_tiles(moving: Thumbnails, fixed: Thumbnails, maps: Maps) -> npt.NDArray[np.float64]:
    goal = _contrast(fixed, FINE)
    warped, inside = _warped(moving.astype(np.float32), maps)
    share = _tiled(inside.astype(np.float32))

    def mean(values: Floats) -> npt.NDArray[np.floating]:
        return _tiled(np.where(inside, values, 0)) / np.maximum(share, 1e-6)

    mean_a, mean_b = mean(warped), mean(goal)
    variance_a, variance_b = mean(warped * warped) - mean_a**2, mean(goal * goal) - mean_b**2
    correlations = (mean(warped * goal) - mean_a * mean_b) / np.sqrt(np.maximum(variance_a * variance_b, 1e-9))
    common = share >= 0.5
    usable = common & (np.minimum(variance_a, variance_b) >= TEXTURE)
    enough = (common.mean(axis=1) >= MIN_COVERED) & (usable.sum(axis=1) >= TILES)
    scales, shears = np.abs(maps[:, [0, 1], [0, 1]]), np.abs(maps[:, [0, 1], [1, 0]])
    plausible = ((scales >= MIN_SCALE) & (scales <= MAX_SCALE) & (shears <= MAX_SHEAR)).all(axis=1)
    return np.array(
        [
            float(np.quantile(own[where], QUANTILE)) if good else -1.0
            for own, where, good in zip(correlations, usable, enough & plausible, strict=True)
        ]
    )


def _contrast(pictures: Thumbnails, side: int) -> Floats:
    return descriptors.local_contrast(descriptors.view(pictures, WHOLE, side))


def _grid(side: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    line = (2 * np.arange(side) + 1) / side - 1
    return line[None, :], line[:, None]


def _warped(source: Floats, maps: Maps) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Returns the local contrast of source(map(x)), and where map(x) lies inside the picture."""
    side = source.shape[1]
    x, y = _grid(side)
    at = [m[:, 0, None, None] * x + m[:, 1, None, None] * y + m[:, 2, None, None] for m in (maps[:, 0], maps[:, 1])]
    inside = (np.abs(at[0]) <= 1) & (np.abs(at[1]) <= 1)
    column, row = (((values + 1) * side - 1) / 2 for values in at)
    number = np.broadcast_to(np.arange(len(source))[:, None, None], row.shape)
    return descriptors.local_contrast(map_coordinates(source, [number, row, column], order=1, mode="nearest")), inside


def _square(maps: Maps) -> Maps:
    """Returns the maps as matrices [pairs, 3, 3]."""
    last = np.broadcast_to(np.array([[[0.0, 0.0, 1.0]]]), (len(maps), 1, 3))
    return np.concatenate([maps, last], axis=1)


def _tiled(values: Floats) -> Floats:
    """Returns the means of the tiles, [pairs, tiles]."""
    size = values.shape[1] // TILES
    return values.reshape(len(values), TILES, size, TILES, size).mean(axis=(2, 4)).reshape(len(values), -1)
