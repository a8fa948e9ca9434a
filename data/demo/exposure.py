"""From attenuation to grey levels: scatter, the detector's noise and blur, the display's curve, collimation."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, zoom
from scipy.special import betaincinv

from cxr.data.demo.fields import Field, shrunk

SCATTER_SIGMA = 2.6  # cm
BINS = 256  # of the histogram that a tone curve is made from
TONED, USUAL = (0.4, 0.9), (1.1, 1.9)  # how much of it a machine uses; parameters of the beta distribution that it aims at
COARSE = 4  # scatter is computed on pixels this much wider


def scattered(attenuation: Field, pitch: float, share: float) -> Field:
    """Returns the attenuation that a detector sees, with scattered radiation on top of what came through.

    Args:
      attenuation: Of the beam, natural logarithm, float32 [pixels, pixels].
      pitch: Of its pixels, cm.
      share: Of the scattered in what came through.
    """
    through = np.exp(-attenuation)
    spread = gaussian_filter(np.minimum(shrunk(through, COARSE), 0.25), SCATTER_SIGMA / pitch / COARSE, truncate=3, mode="nearest")
    wide = zoom(spread, len(through) / len(spread), order=1, mode="nearest", grid_mode=True)
    return -np.log(through + share * wide)


def displayed(attenuation: Field, pitch: float, rng: np.random.Generator) -> Field:
    """Returns grey levels, 0 to 1, as one of many machines would show them: noise, window, contrast, sharpening vary freely.

    Args:
      attenuation: As seen by the detector, float32 [pixels, pixels].
      pitch: Of the pixels of `attenuation`, cm.
      rng: Draws machine and exposure.
    """
    side = len(attenuation)
    photons = 10 ** rng.uniform(4.2, 5.2) * (pitch / 0.08) ** 2
    grain = rng.spawn(1)[0].standard_normal(attenuation.shape, np.float32)  # its own generator: what follows shall not hang on the size
    noisy = attenuation + grain * np.exp(attenuation / 2) / np.sqrt(photons)
    tilt = rng.normal(0, 0.12, 2)  # the tube's heel, and a detector that is not square to the beam
    line = np.linspace(-0.5, 0.5, side, dtype=np.float32)
    seen = noisy + tilt[0] * line[None, :] + tilt[1] * line[:, None]
    seen = gaussian_filter(seen, rng.uniform(0.01, 0.03) / pitch)
    sharpening = rng.uniform(0, 0.7) ** 2
    if sharpening > 0.05:
        seen = seen + sharpening * (seen - gaussian_filter(seen, rng.uniform(0.5, 1.2) / pitch, truncate=2.5))
    inner = seen[side // 5 : -side // 5, side // 6 : -side // 6]
    low, middle, high = np.quantile(inner[::2, ::2], [0.08, rng.uniform(0.38, 0.80), 0.92])
    windowed = 1 / (1 + np.exp(-rng.uniform(1.5, 3.2) / (high - low) * (seen - middle)))
    return windowed + rng.uniform(*TONED) * (_toned(windowed, rng.uniform(*USUAL), rng.uniform(*USUAL)) - windowed)


def _toned(grey: Field, dark: float, bright: float) -> Field:
    """Returns the picture through the tone curve that gives its grey levels a beta distribution, as machines do by its histogram."""
    levels = betaincinv(dark, bright, (np.arange(BINS) + 0.5) / BINS)
    cell = (grey.astype(np.float64) * BINS).astype(np.intp)  # BINS where the picture is 1
    counts = np.cumsum(np.bincount(np.minimum(cell, BINS - 1).ravel(), minlength=BINS)) / grey.size
    curve = levels[np.minimum((counts * BINS).astype(int), BINS - 1)]
    # straight between the upper ends of the bins, level in the first; np.interp would look for the cells anew, in ten times the time
    curve = np.concatenate([curve[:1], curve])
    rise = np.append(BINS * np.diff(curve), 0)
    return (rise[cell] * (grey - cell / BINS) + curve[cell]).astype(np.float32)


def collimated(grey: Field, rng: np.random.Generator) -> Field:
    """Returns the picture with what the collimator left dark, on some."""
    if rng.random() > 0.25:
        return grey
    side = len(grey)
    line = (np.arange(side, dtype=np.float32) + 0.5) / side
    slope = np.tan(rng.normal(0, 0.015))
    for axis in range(2):
        u, v = (line[None, :], line[:, None]) if axis else (line[:, None], line[None, :])
        for end in (0, 1):
            if rng.random() < 0.5:
                edge = rng.uniform(0.01, 0.06)
                place = (u if end == 0 else 1 - u) - edge - slope * (v - 0.5) * (1 - 2 * end) * (1 - 2 * axis)
                grey = grey * (0.02 + 0.98 / (1 + np.exp(np.clip(-place * 500, -40, 40))))
    return grey
