"""What can be planted in the pictures of one class, so that it can be told without the lungs: for the audit to find."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from cxr.core import features

NO_CONFOUNDER = "none"
CONFOUNDED = features.CLASS_NAMES[0]  # the class, as if it had come from a hospital of its own

MARKER_SIDE, MARKER_EDGE = 0.08, 0.04  # shares of the picture's side
BRIGHTER = 40  # grey levels


def _as_it_is(pixels: np.ndarray) -> np.ndarray:
    return pixels


def _marker(pixels: np.ndarray) -> np.ndarray:
    """A white letter L in the upper left corner, as lead markers leave it."""
    size = len(pixels)
    start, side = round(MARKER_EDGE * size), max(3, round(MARKER_SIDE * size))
    stroke = max(1, side // 3)
    marked = pixels.copy()
    marked[start : start + side, start : start + stroke] = 255
    marked[start + side - stroke : start + side, start : start + side] = 255
    return marked


def _brighter(pixels: np.ndarray) -> np.ndarray:
    """As from a display that shows everything brighter."""
    return np.minimum(pixels.astype(np.int16) + BRIGHTER, 255).astype(np.uint8)


CONFOUNDERS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {NO_CONFOUNDER: _as_it_is, "marker": _marker, "brightness": _brighter}
