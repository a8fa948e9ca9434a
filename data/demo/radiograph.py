"""One synthetic radiograph: anatomy, finding, exposure and noise."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.stats import beta

from cxr.core import features
from cxr.data.demo import findings
from cxr.data.demo.anatomy import SIDES, Anatomy, Pose, chest, coordinates, lung, noise, soft

COVID19, PNEUMONIA, NORMAL = features.CLASS_NAMES

# === Pictures with matched grey levels ===
LEVELS = (1.9, 2.1)  # both parameters of the beta distribution that a picture's grey levels follow
NOISE = (0.005, 0.035)  # attenuation: so different from picture to picture that sharpness says little of the class
INSIDE = 0.95  # of a mask that is soft at its edge: the bright rim of the lungs stays
NOT_HEART = 0.9  # share of the lungs' pixels; where the heart lies before them they stay as they are


def render(
    label: str,
    anatomy: Anatomy,
    extent: float,
    view: str,
    size: int,
    finding_seed: list[int],
    rng: np.random.Generator,
    matched: bool = False,
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
      matched: The finding moves the lungs' grey levels about and adds none, and the whole picture's follow one law: brightness, histogram
        and borders then say nothing of the class.

    Returns:
      uint8 [size, size].
    """
    pose = Pose.draw(rng)
    x, y = coordinates(size, pose)
    lungs = [lung(x, y, anatomy, pose, side) for side in SIDES]
    attenuation = chest(x, y, anatomy, np.maximum(*lungs), rng, front=view == "AP")
    places = np.random.default_rng(finding_seed)
    finding = np.zeros_like(attenuation)
    if label == COVID19:
        finding = findings.ground_glass(x, lungs, extent, places)
    elif label == PNEUMONIA:
        finding = findings.consolidation(x, y, lungs, extent, places)
    sick = _rearranged(attenuation, finding, lungs) if matched else attenuation + finding
    return _exposed(sick + _leads(x, y, rng), rng, matched)


def _leads(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Electrodes and wires, on some pictures of every class."""
    total = np.zeros_like(x)
    for _ in range(rng.integers(0, 3)):
        at_x, at_y, angle = rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.8), rng.uniform(0, np.pi)
        along = (x - at_x) * np.cos(angle) + (y - at_y) * np.sin(angle)
        across = (y - at_y) * np.cos(angle) - (x - at_x) * np.sin(angle) - 0.05 * np.sin(along * 9)
        total += 0.25 * soft(np.hypot(x - at_x, y - at_y) - 0.016, 0.008) + 0.14 * np.exp(-((across / 0.004) ** 2)) * (along > 0)
    return total


def _rearranged(healthy: np.ndarray, finding: np.ndarray, lungs: list[np.ndarray]) -> np.ndarray:
    """Gives the lungs the attenuations that they had when healthy, in the order that they have with the finding."""
    inside = np.maximum(*lungs) > INSIDE
    inside &= healthy <= np.quantile(healthy[inside], NOT_HEART)
    sick = healthy.copy()
    sick[inside] = _with_levels((healthy + finding)[inside], np.sort(healthy[inside]))
    return sick


def _with_levels(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Returns the levels (ascending, as many as there are values) in the order of the values, in their shape."""
    result = np.empty(values.size)
    result[np.argsort(values, axis=None, kind="stable")] = levels
    return result.reshape(values.shape)


def _exposed(attenuation: np.ndarray, rng: np.random.Generator, matched: bool) -> np.ndarray:
    """Detector and display: scatter, noise, uneven field, window, contrast curve."""
    size = len(attenuation)
    blurred = gaussian_filter(attenuation, rng.uniform(0.3, 0.6) * size / 128)
    tilt = rng.normal(0, 0.06, 2)
    line = np.linspace(-0.5, 0.5, size)
    field = blurred + tilt[0] * line[None, :] + tilt[1] * line[:, None] + 0.03 * noise(rng, size, 0.5)
    if matched:
        field += rng.uniform(*NOISE) * rng.standard_normal((size, size))
        levels = 255 * beta.ppf((np.arange(field.size) + 0.5) / field.size, *rng.uniform(*LEVELS, 2))
        return np.clip(np.rint(_with_levels(field, levels)), 0, 255).astype(np.uint8)
    field += rng.uniform(0.008, 0.014) * rng.standard_normal((size, size))
    low, high = rng.uniform(-0.03, 0.07), rng.uniform(1.0, 1.2)
    shown = np.clip((field - low) / (high - low), 0, 1) ** rng.uniform(0.85, 1.2)
    return np.clip(np.rint(255 * shown), 0, 255).astype(np.uint8)
