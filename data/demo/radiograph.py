"""One synthetic radiograph: anatomy, finding, exposure and noise."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from cxr.core import features
from cxr.data.demo import findings
from cxr.data.demo.anatomy import SIDES, Anatomy, Pose, chest, coordinates, lung, noise, soft

COVID19, PNEUMONIA, NORMAL = features.CLASS_NAMES


def render(
    label: str, anatomy: Anatomy, extent: float, view: str, size: int, finding_seed: list[int], rng: np.random.Generator
) -> np.ndarray:
    """Draws one picture.

    Args:
      label: One of features.CLASS_NAMES.
      anatomy: The person.
      extent: How much of the lungs is affected, 0 to 1.
      view: "AP" or "PA".
      size: Height and width, pixels.
      finding_seed: Decides where the opacities are: equal in all pictures of a patient.
      rng: Decides everything else.

    Returns:
      uint8 [size, size].
    """
    pose = Pose.draw(rng)
    x, y = coordinates(size, pose)
    lungs = [lung(x, y, anatomy, pose, side) for side in SIDES]
    attenuation = chest(x, y, anatomy, np.maximum(*lungs), rng, front=view == "AP")
    places = np.random.default_rng(finding_seed)
    if label == COVID19:
        attenuation += findings.ground_glass(x, lungs, extent, places)
    elif label == PNEUMONIA:
        attenuation += findings.consolidation(x, y, lungs, extent, places)
    return _exposed(attenuation + _leads(x, y, rng), rng)


def _leads(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Electrodes and wires, on some pictures of every class."""
    total = np.zeros_like(x)
    for _ in range(rng.integers(0, 3)):
        at_x, at_y, angle = rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.8), rng.uniform(0, np.pi)
        along = (x - at_x) * np.cos(angle) + (y - at_y) * np.sin(angle)
        across = (y - at_y) * np.cos(angle) - (x - at_x) * np.sin(angle) - 0.05 * np.sin(along * 9)
        total += 0.25 * soft(np.hypot(x - at_x, y - at_y) - 0.016, 0.008) + 0.14 * np.exp(-((across / 0.004) ** 2)) * (along > 0)
    return total


def _exposed(attenuation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Detector and display: scatter, noise, uneven field, window, contrast curve."""
    size = len(attenuation)
    blurred = gaussian_filter(attenuation, rng.uniform(0.3, 0.6) * size / 128)
    tilt = rng.normal(0, 0.06, 2)
    line = np.linspace(-0.5, 0.5, size)
    field = blurred + tilt[0] * line[None, :] + tilt[1] * line[:, None] + 0.03 * noise(rng, size, 0.5)
    field += rng.uniform(0.008, 0.014) * rng.standard_normal((size, size))
    low, high = rng.uniform(-0.03, 0.07), rng.uniform(1.0, 1.2)
    shown = np.clip((field - low) / (high - low), 0, 1) ** rng.uniform(0.85, 1.2)
    return np.clip(np.rint(255 * shown), 0, 255).astype(np.uint8)
