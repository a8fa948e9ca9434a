"""Draws the contact sheet of docs/data.md: synthetic radiographs of the three classes, from hardly visible to severe, and their masks.

usage: python tools/demo_sheet.py docs/demo.jpg
"""

import sys

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_erosion

from cxr.core import features
from cxr.data.demo.person import AP, PA
from cxr.data.demo.radiograph import NORMAL, Radiograph, draw

SIZE, EDGE = 300, 22  # pixels: of a picture, and of the line of text above it
SEVERITIES = 0.2, 0.4, 0.6, 0.8, 1.0
FIRST_SEED = 11
OUTLINE = (255, 200, 0)


def tile(picture: Radiograph, view: str, outlined: bool) -> Image.Image:
    """Returns a picture with a line of text above it, with its mask's outline if asked for."""
    pixels = np.repeat(picture.image[:, :, None], 3, axis=2)
    if outlined:
        pixels[picture.mask & ~binary_erosion(picture.mask, iterations=2)] = OUTLINE
    framed = Image.new("RGB", (SIZE, SIZE + EDGE), "white")
    framed.paste(Image.fromarray(pixels).resize((SIZE, SIZE), Image.Resampling.LANCZOS), (0, EDGE))
    text = f"{picture.label}, {view}" + ("" if picture.label == NORMAL else f", severity {picture.severity:g}")
    ImageDraw.Draw(framed).text((4, 3), text, fill="black", font=ImageFont.load_default(size=14))
    return framed


def main() -> None:
    """Writes the sheet."""
    rows = []
    for row, label in enumerate((NORMAL, *(name for name in features.CLASS_NAMES if name != NORMAL))):
        views = [(PA, AP)[k % 2] for k in range(len(SEVERITIES))]
        pictures = [
            draw(FIRST_SEED + 10 * row + k, label, 512, severity, view)
            for k, (severity, view) in enumerate(zip(SEVERITIES, views, strict=True))
        ]
        rows.append([tile(picture, view, outlined=False) for picture, view in zip(pictures, views, strict=True)])
        if label != NORMAL:
            rows.append([tile(picture, view, outlined=True) for picture, view in zip(pictures, views, strict=True)])
    sheet = Image.new("RGB", (SIZE * len(SEVERITIES), (SIZE + EDGE) * len(rows)), "white")
    for row, tiles in enumerate(rows):
        for column, one in enumerate(tiles):
            sheet.paste(one, (column * SIZE, row * (SIZE + EDGE)))
    sheet.save(sys.argv[1], quality=82)


if __name__ == "__main__":
    main()
