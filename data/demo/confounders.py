"""What can be planted in the pictures of one class, so that it can be told without the lungs: for the audit to find."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image

from cxr.core import features
from cxr.data.demo.lettering import stamped

NO_CONFOUNDER = "none"
CONFOUNDED = features.COVID19  # the class, as if it had come from a hospital of its own

MARKER, MARKER_AT, MARKER_HEIGHT = "P", (0.08, 0.93), 0.09  # place and height are shares of the side
BRIGHTER = 40  # grey levels
COMPRESSED = 75  # JPEG quality: the eye sees no difference


def _as_it_is(pixels: np.ndarray) -> np.ndarray:
    return pixels


def _marker(pixels: np.ndarray) -> np.ndarray:
    """A letter in the lower left corner, where no other picture has one: "portable", as a ward may write it."""
    return stamped(pixels, MARKER, MARKER_AT, MARKER_HEIGHT)


def _brighter(pixels: np.ndarray) -> np.ndarray:
    """As from a display that shows everything brighter."""
    return np.minimum(pixels.astype(np.int16) + BRIGHTER, 255).astype(np.uint8)


def _compressed(pixels: np.ndarray) -> np.ndarray:
    """As from an archive that once kept its pictures as small JPEGs."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=COMPRESSED)
    return np.asarray(Image.open(stream))


CONFOUNDERS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    NO_CONFOUNDER: _as_it_is,
    "marker": _marker,
    "brightness": _brighter,
    "compression": _compressed,
}
