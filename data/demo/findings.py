"""What the classes differ by: how much of each piece of lung is filled with fluid in place of air, 0 to 1.

Ground glass fills little of much; consolidation fills nearly all of a part. Ribs and vessels are drawn over it, and where a filled lung
touches heart or diaphragm the border between them is gone, as nothing parts them any more.
"""

from __future__ import annotations

import numpy as np

from cxr.data.demo.fields import SIDES, Canvas, Field, noise, soft
from cxr.data.demo.thorax import Lungs

# Where consolidations are: side, middle (across, down) and half-widths as shares of the lung, and how much of the lung's depth it is
# at most; of the middle lobe and the lingula, which lie before the heart, all.
LOBES = (
    (-1, (0.50, 0.28), (0.60, 0.24), 0.85),  # right upper
    (-1, (0.22, 0.80), (0.42, 0.22), 0.90),  # right middle
    (-1, (0.52, 0.86), (0.60, 0.26), 0.85),  # right lower
    (1, (0.52, 0.30), (0.60, 0.26), 0.85),  # left upper
    (1, (0.35, 0.74), (0.42, 0.24), 0.90),  # lingula
    (1, (0.58, 0.86), (0.55, 0.26), 0.85),  # left lower
)
EFFUSION = 0.3  # share of the pneumonias that come with one


def ground_glass(canvas: Canvas, lungs: Lungs, severity: float, rng: np.random.Generator) -> Field:
    """COVID-19: a haze in both lungs, towards the chest wall and the base.

    Args:
      canvas: Where.
      lungs: Of the person.
      severity: 0 to 1; at 0.1 hardly to be seen.
      rng: Decides where the haze is thicker.

    Returns:
      Filled share of the lungs, float32 [pixels, pixels].
    """
    basal = rng.uniform(0.3, 1.0)
    sides = [rng.uniform(0.75, 1.15) for _ in SIDES]
    box = lungs.box
    clouds = noise(rng, canvas, 3.4, box) + 0.45 * noise(rng, canvas, 1.6, box)
    # thickened septa: a net of fine lines, at the ridges of noise, that grows denser with severity
    net = 0.5 - np.minimum(np.abs(noise(rng, canvas, 0.55, box)), np.abs(noise(rng, canvas, 0.42, box)))
    fine = 0.42 * net + 0.10 * noise(rng, canvas, 0.8, box)
    outer = soft(0.55 - 0.30 * severity - lungs.across[box] + 0.10 * clouds, 0.5)
    lower = soft(0.50 - 0.25 * severity - lungs.down[box] + 0.06 * clouds, 0.6)
    thick = soft(0.6 - 1.3 * severity - clouds, 2.2)
    haze = outer * (1 - basal + basal * lower) * (0.50 + 0.50 * thick) * (1 + fine)
    filled = canvas.zeros()
    filled[box] = np.clip((0.05 + 0.65 * severity) * np.where(lungs.side[:, box[1]] < 0, *sides) * haze, 0, 0.8)
    return filled


def consolidation(canvas: Canvas, lungs: Lungs, severity: float, rng: np.random.Generator) -> Field:
    """Pneumonia: one lobe, or a segment of it, is dense; its edge is soft. Sometimes there is fluid at the base beside it.

    Args:
      canvas: Where.
      lungs: Of the person.
      severity: 0 to 1: how large and how dense.
      rng: Decides which lobe, shape and fluid.

    Returns:
      Filled share of the lungs, float32 [pixels, pixels].
    """
    side, middle, widths, most = LOBES[rng.integers(len(LOBES))]
    across, down = (m + rng.uniform(-0.3, 0.3) * w * (1.2 - severity) for m, w in zip(middle, widths, strict=True))
    wide, high = (w * rng.uniform(0.85, 1.15) * (0.55 + 0.60 * severity) for w in widths)
    box = lungs.box
    rough = 0.24 * noise(rng, canvas, 2.6, box) + 0.10 * noise(rng, canvas, 1.0, box) + 0.05 * noise(rng, canvas, 0.4, box)
    away = np.hypot((lungs.across[box] - across) / wide, (lungs.down[box] - down) / high)
    dense = most * (0.05 + 0.95 * severity) * soft(away - 0.8 - rough, 0.7)
    dense = dense * np.clip(1 + 0.16 * rough - 0.10 * noise(rng, canvas, 0.6, box), 0, 1.15)
    if rng.random() < EFFUSION:
        dense = np.maximum(dense, _effusion(canvas, lungs, severity * rng.uniform(0.3, 1)))
    filled = canvas.zeros()
    filled[box] = np.clip(dense, 0, 0.97) * (lungs.side[:, box[1]] == side)
    return filled


def _effusion(canvas: Canvas, lungs: Lungs, amount: float) -> Field:
    """Fluid between lung and chest wall: its surface rises towards the wall."""
    surface = lungs.dome.min() + 1.5 - amount * (1.2 + 6.5 * np.clip(lungs.across[lungs.box], 0, 1.2) ** 3)  # y, cm
    return min(1.0, 2 * amount) * 0.95 * soft(surface - canvas.y[lungs.box[0]], 0.9)
