"""Letters in a picture: of lead on the detector, or burnt in afterwards."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from cxr.data.demo.person import AP, PA

Pixels = npt.NDArray[np.uint8]  # [side, side]

SIDE_LETTER, WORDS = 0.75, {AP: 0.5, PA: 0.15}  # how often a picture has them
TEXTS = {AP: ("AP", "PORTABLE", "AP ERECT", "SUPINE"), PA: ("PA",)}
SMALLEST = 6  # pixels; less cannot be read


def stamped(pixels: Pixels, text: str, at: tuple[float, float], height: float, angle: float = 0.0, level: int = 255) -> Pixels:
    """Returns the picture with a text.

    Args:
      pixels: The picture.
      text: A letter or words.
      at: Its middle, shares of the side; it is kept inside the picture.
      height: Of its letters, share of the side.
      angle: Degrees, counter-clockwise.
      level: Its grey level.
    """
    side = len(pixels)
    size = max(SMALLEST, height * side)
    stamp = Image.new("L", (round(size * (0.7 * len(text) + 0.8)), round(1.6 * size)))
    font = ImageFont.load_default(size=size)
    ImageDraw.Draw(stamp).text((stamp.width / 2, stamp.height / 2), text, font=font, fill=255, anchor="mm")
    stamp = stamp.rotate(angle, Image.Resampling.BILINEAR)
    left, top = (min(max(round(share * side - length / 2), 0), side - length) for share, length in zip(at, stamp.size, strict=True))
    picture = Image.fromarray(pixels)
    picture.paste(level, (left, top), stamp)
    return np.asarray(picture)


def lettered(pixels: Pixels, view: str, rng: np.random.Generator) -> Pixels:
    """Returns the picture with the side's letter and words about how it was taken, as most have them; they know nothing of the class."""
    x, y = rng.uniform(0.87, 0.94), rng.uniform(0.05, 0.14)
    if rng.random() < SIDE_LETTER:
        left = rng.random() < 0.7  # the patient's left is the picture's right
        height = rng.uniform(0.035, 0.055)
        pixels = stamped(pixels, "L" if left else "R", (x if left else 1 - x, y), height, rng.normal(0, 5), int(rng.integers(215, 256)))
    if rng.random() < WORDS[view]:
        height = rng.uniform(0.018, 0.028)
        pixels = stamped(pixels, str(rng.choice(TEXTS[view])), (x - 0.02, y + 0.06), height, rng.normal(0, 3), int(rng.integers(215, 256)))
    return pixels
