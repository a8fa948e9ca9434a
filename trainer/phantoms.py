"""Drawn pictures that stand in for radiographs: in the requests recorded with a model, since nobody's image may travel with it, and where a
network is tried on pictures that its training images do not resemble.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cxr.data.images.reader import GreyImage, encode

KINDS = ("jpeg", "png", "jpeg")  # what `cxr ingest` stores; one phantom each
HEIGHT, WIDTH = 320, 288  # pixels


def phantoms() -> list[bytes]:
    """Returns encoded phantoms, always the same: different from each other, and bright and dark where radiographs of a chest are."""
    drawn = (_phantom(np.random.default_rng(seed)) for seed in range(len(KINDS)))
    return [encode(GreyImage(grey, kind, grey.shape)) for grey, kind in zip(drawn, KINDS, strict=True)]


def _phantom(rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Draws a bright trunk with two dark lungs and ribs, at a position, exposure and noise of its own. Returns uint8 [HEIGHT, WIDTH]."""
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j] + rng.normal(0, 0.05, (2, 1, 1))

    def ellipse(at_x: float, at_y: float, width: float, height: float) -> npt.NDArray[np.float64]:
        return 0.5 - 0.5 * np.tanh(10 * (((x - at_x) / width) ** 2 + ((y - at_y) / height) ** 2 - 1))

    lungs = ellipse(-0.4, -0.05, rng.uniform(0.25, 0.32), 0.65) + ellipse(0.42, -0.05, rng.uniform(0.22, 0.3), 0.6)
    ribs = 0.08 * np.sin(22 * (y + 0.3 * x**2)) * lungs
    light = 0.85 * ellipse(0, 0.1, 0.95, 1.3) - rng.uniform(0.45, 0.6) * lungs + ribs + 0.15 * ellipse(0.15, 0.35, 0.3, 0.3)
    light += rng.uniform(0.01, 0.03) * rng.standard_normal(light.shape)
    return np.rint(255 * np.clip(light, 0, 1) ** rng.uniform(0.8, 1.25)).astype(np.uint8)
