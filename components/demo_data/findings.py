"""What tells the synthetic classes apart: opacities in the lungs, of a look and a spread of their own, not of a place or a brightness."""

from __future__ import annotations

import numpy as np

from cxr.components.demo_data.anatomy import SIDES, noise, soft

GROUND_GLASS = 0.16  # attenuation of a full opacity
GRAIN = 0.030  # of the ground-glass texture, share of the side
CONSOLIDATION = 0.34


def ground_glass(x: np.ndarray, y: np.ndarray, lungs: list[np.ndarray], extent: float, rng: np.random.Generator) -> np.ndarray:
    """COVID-19: several hazy, grainy patches in the outer parts of both lungs.

    Args:
      x: Body coordinates of the pixels, float [size, size].
      y: As x.
      lungs: Masks of the two lungs.
      extent: 0 to 1, how much of the lungs is affected.
      rng: Decides the places.

    Returns:
      Attenuation to add, float [size, size].
    """
    haze = np.zeros_like(x)
    for side, mask in zip(SIDES, lungs, strict=True):
        for _ in range(rng.integers(3, 5 + round(3 * extent))):
            centre_x = 0.5 + side * rng.uniform(0.20, 0.36)
            centre_y = rng.uniform(0.28, 0.74)
            radius = rng.uniform(0.05, 0.09 + 0.04 * extent)
            haze = np.maximum(haze, mask * soft(np.hypot(x - centre_x, (y - centre_y) / 1.3) - radius, 0.05))
    texture = noise(rng, len(x), GRAIN)
    return GROUND_GLASS * haze * (0.55 + 0.75 * texture)


def consolidation(x: np.ndarray, y: np.ndarray, lungs: list[np.ndarray], extent: float, rng: np.random.Generator) -> np.ndarray:
    """Pneumonia: one dense lobe on one side, bounded by a fissure, with the air-filled bronchi showing in it. Arguments as in ground_glass."""
    k = rng.integers(2)
    side, mask = SIDES[k], lungs[k]
    top = rng.uniform(0.22, 0.50)
    bottom = top + 0.16 + 0.16 * extent
    slope = rng.uniform(-0.35, 0.35)
    fissure = y - slope * side * (x - 0.5)
    lobe = mask * soft(top - fissure, 0.02) * soft(fissure - bottom, 0.05)
    bronchi = np.clip(np.abs(noise(rng, len(x), 0.05)) * 2.5, 0, 1)  # thin dark lines where the noise crosses zero
    return CONSOLIDATION * lobe * (0.72 + 0.28 * bronchi)
