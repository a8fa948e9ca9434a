"""What tells the synthetic classes apart: opacities in the lungs with a spread and a texture of their own.

Their places and their mean brightness say little, so that a linear model on pixels fails. Their texture is strong enough to survive in the
features of a network that was never trained.
"""

from __future__ import annotations

import numpy as np

from cxr.data.demo.anatomy import SIDES, noise, soft

# attenuation, and width of the structures as share of the side
GROUND_GLASS, GROUND_GLASS_GRAIN = 0.40, 0.025
CONSOLIDATION, CONSOLIDATION_GRAIN = 0.42, 0.07
HAZE, DENSITY = 0.04, 0.06  # mean attenuation of the two


def ground_glass(x: np.ndarray, lungs: list[np.ndarray], extent: float, rng: np.random.Generator) -> np.ndarray:
    """COVID-19: fine-grained haze in both lungs, more towards the chest wall.

    Args:
      x: Body coordinate of the pixels, float [size, size].
      lungs: Masks of the two lungs.
      extent: 0 to 1, how far it reaches towards the middle.
      rng: Decides the texture.

    Returns:
      Attenuation to add, float [size, size].
    """
    haze = np.zeros_like(x)
    for side, mask in zip(SIDES, lungs, strict=True):
        outwards = (side * (x - 0.5) - 0.05) / 0.12
        haze = np.maximum(haze, mask * np.clip(outwards, 0.2 + 0.3 * extent, 1))
    return haze * (HAZE + GROUND_GLASS * noise(rng, len(x), GROUND_GLASS_GRAIN))


def consolidation(x: np.ndarray, y: np.ndarray, lungs: list[np.ndarray], extent: float, rng: np.random.Generator) -> np.ndarray:
    """Pneumonia: a coarsely mottled, sharply bounded lobe on one side.

    Args:
      x: Body coordinates of the pixels, float [size, size].
      y: As x.
      lungs: Masks of the two lungs.
      extent: 0 to 1, the height of the lobe.
      rng: Decides side, height, slope of the fissures and texture.

    Returns:
      Attenuation to add, float [size, size].
    """
    k = int(rng.integers(len(SIDES)))
    height = 0.42 + 0.16 * extent
    top = rng.uniform(0.10, 0.80 - height)
    fissure = y - rng.uniform(-0.3, 0.3) * (x - 0.5 - SIDES[k] * 0.2)
    lobe = lungs[k] * soft(top - fissure, 0.02) * soft(fissure - top - height, 0.03)
    return lobe * (DENSITY + CONSOLIDATION * noise(rng, len(x), CONSOLIDATION_GRAIN))
