"""One synthetic radiograph: anatomy, finding, exposure and noise."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.stats import beta

from cxr.core import features
from cxr.data.demo import findings
from cxr.data.demo.anatomy import SIDES, Anatomy, Pose, chest, coordinates, lung, noise, soft

COVID19, PNEUMONIA, NORMAL = features.CLASS_NAMES

LEVELS = (1.9, 2.1)  # both parameters of the beta distribution that a picture's grey levels follow
# Grey levels from one side of the picture to the other, across and down together; without noise no picture of 48 to 256 pixels is as sharp.
SHARPNESS = (2350, 2600)
MOST_NOISE, HALVINGS = 0.5, 9  # attenuation; noise is met to a five-hundredth of that


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
        attenuation = _rearranged(attenuation, findings.ground_glass(x, lungs, extent, places), lungs)
    elif label == PNEUMONIA:
        attenuation = _rearranged(attenuation, findings.consolidation(x, y, lungs, extent, places), lungs)
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


def _rearranged(healthy: np.ndarray, finding: np.ndarray, lungs: list[np.ndarray]) -> np.ndarray:
    """Adds a finding, and gives the lungs back the attenuations that they had when healthy, in the new order.

    What tells the classes apart is then where in the lungs they stand, not how many of each there are: no grey histogram sees that.
    """
    inside = np.maximum(*lungs) > 0.5
    sick = healthy + finding
    sick[inside] = _with_levels(sick[inside], np.sort(healthy[inside]))
    return sick


def _with_levels(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Returns the levels (ascending, as many as there are values) in the order of the values, in their shape."""
    result = np.empty(values.size)
    result[np.argsort(values, axis=None, kind="stable")] = levels
    return result.reshape(values.shape)


def _exposed(attenuation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Detector and display: scatter, uneven field, noise, grey levels.

    Grey levels and sharpness (mean difference of neighbours) are drawn from the same distributions for all classes, and met by the display
    curve and by the noise: brightness, histogram and gradients say nothing of the class.
    """
    size = len(attenuation)
    blurred = gaussian_filter(attenuation, rng.uniform(0.3, 0.6) * size / 128)
    tilt = rng.normal(0, 0.06, 2)
    line = np.linspace(-0.5, 0.5, size)
    field = blurred + tilt[0] * line[None, :] + tilt[1] * line[:, None] + 0.03 * noise(rng, size, 0.5)
    levels = 255 * beta.ppf((np.arange(field.size) + 0.5) / field.size, *rng.uniform(*LEVELS, 2))
    grain, sharpness = rng.standard_normal((size, size)), rng.uniform(*SHARPNESS) / size
    least, most = 0.0, MOST_NOISE
    shown = _with_levels(field, levels)
    for _ in range(HALVINGS):  # sharpness grows with the noise
        middle = (least + most) / 2
        shown = _with_levels(field + middle * grain, levels)
        least, most = (middle, most) if _sharpness(shown) < sharpness else (least, middle)
    return np.clip(np.rint(shown), 0, 255).astype(np.uint8)


def _sharpness(shown: np.ndarray) -> float:
    return float(np.abs(np.diff(shown, axis=0)).mean() + np.abs(np.diff(shown, axis=1)).mean())
