"""Pictures small enough to be looked at, of images as records hold them."""

from __future__ import annotations

import io

from PIL import Image


def small(encoded: bytes, side: int) -> Image.Image:
    """Returns an image in grey, `side` pixels long at most.

    Args:
      encoded: JPEG or PNG.
      side: Pixels.
    """
    with Image.open(io.BytesIO(encoded)) as image:
        grey = image.convert("L")
        grey.thumbnail((side, side))
    return grey
